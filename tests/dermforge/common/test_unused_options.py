"""An option that nothing would use is refused by its name on the command line; a default never is."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.errors import UserError
from dermforge.common.unused_options import used_only


@used_only("with --judge", lambda given: given["judge_on"], "steps", "as_list", "named")
def command(
    judge_on: Annotated[str | None, typer.Option("--judge")] = None,
    steps: int = 5,
    as_list: list[str] | None = None,
    named: Annotated[int | None, typer.Option("-n", "--other-name")] = None,
) -> int:
    """Its help."""
    return steps


@given(
    st.none() | st.text(min_size=1), st.integers(0, 9), st.none() | st.just([]) | st.just(["x"]), st.none() | st.just(1)
)
def test_what_differs_from_the_default_needs_the_condition(
    judge: str | None, steps: int, words: list[str] | None, named: int | None
) -> None:
    unused = [
        flag for flag, value in {"--steps": steps != 5, "--as-list": words, "--other-name": named}.items() if value
    ]
    if judge or not unused:
        assert command(judge, steps, as_list=words, named=named) == steps
    else:
        with pytest.raises(UserError, match=rf"^{unused[0]} is used only with --judge: leave it out$"):
            command(judge, steps, as_list=words, named=named)


def test_a_rule_of_a_parameter_that_is_not_there_fails_at_once() -> None:
    with pytest.raises(TypeError, match="no parameter colour"):
        used_only("never", lambda given: False, "colour")(command)


def test_the_command_keeps_its_help_and_its_options() -> None:
    assert command.__doc__ == "Its help."
    assert command.__name__ == "command"


LINES = (
    ("gen plan --out p.csv --engine b --per-cell 1", "--mask lesion"),
    ("gen plan --out p.csv --engine b --per-cell 1", "--strength 0.5"),
    ("gen plan --out p.csv --engine b --parents real", "--mask ellipse"),
    ("gen plan --out p.csv --engine b --parents real", "--to-groups dark"),
    ("gen plan --out p.csv --engine b --per-cell 1", "--per-parent 3"),
    ("gen plan --out p.csv --engine b --per-cell 1", "--total 10"),
    ("gen plan --out p.csv --engine b --per-cell 1", "--kept x"),
    ("gen plan --out p.csv --engine b --cells t.csv", "--per-cell 3"),
    ("gen plan --out p.csv --engine b --table t.csv", "--classes plaque"),
    ("gen plan --out p.csv --engine b --refill p.csv --kept x", "--steps 3"),
    ("gen sample --shards s --engine b", "--quality 50"),
    ("gen sample --shards s --engine b", "--workers 3"),
    ("gen sample --shards s --engine b", "--masks m"),
    ("gen finetune --data d --out t", "--rank 4"),
    ("gen finetune --data d --out t", "--keep-adapter"),
    ("gen finetune --data d --out t --steps 3", "--epochs 3"),
    ("gen finetune --data d --out t", "--prior-prompt skin"),
    ("shards make photos --out d", "--quality 50"),
    ("shards make photos --out d --origin synthetic", "--hash-ids private"),
    ("shards select s --out t", "--seed 3"),
    ("evalsuite filter s --train t --validation v", "--model resnet18x"),
    ("evalsuite filter s --train t --validation v", "--steps 3"),
    ("evalsuite train --real r --out o", "--split-bn"),
    ("evalsuite study --real r --synthetic s --out o", "--max-ratio 3"),
)


@pytest.mark.parametrize(("line", "option"), LINES)
def test_the_commands_refuse_what_they_would_ignore(line: str, option: str) -> None:
    """Before anything is read: none of the files is there."""
    program, name, *words = f"{line} {option}".split()
    app = import_module(f"{program}.cli").PROGRAM.app([name])
    with pytest.raises(UserError, match=rf"^{option.split()[0]} is used only with"):
        typer.main.get_command(app).main([name, *words], standalone_mode=False)
