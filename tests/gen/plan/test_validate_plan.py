"""What is wrong between a plan, an engine and parents is found before the first step."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import CLIPTokenizerFast

from dermforge.common.errors import UserError
from engines import Engine
from engines.checkpoint.tokenizer import open_tokenizer
from engines.pipeline_spec import FewSteps, ValidationPrompt
from gen.plan import plan
from gen.plan.parents import Parents
from gen.plan.validate_plan import check, refuse_unused
from shards.ingest.folder import open_data


def test_everything_wrong_with_a_plan_is_found_first(
    open_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine()
    row = {"id": "a", "class": "plaque", "group": "dark", "prompt": "An image", "size": 64}
    with pytest.raises(UserError, match="128 px and the engine makes 64"):
        check(plan.from_rows([{**row, "size": 128}]), engine, None)
    with pytest.raises(UserError, match="unknown solver 'rk4'"):
        check(plan.from_rows([{**row, "solver": "rk4"}]), engine, None)
    with pytest.raises(UserError, match="as parents"):
        check(plan.from_rows([{**row, "strategy": "inpaint", "parent": "p"}]), engine, None)
    strange = plan.from_rows([{**row, "class": "wart", "group": "blue", "prompt": "an image of " * 9}])
    with pytest.raises(UserError, match="model of phantoms for wart"):
        check(strange, engine, None)
    monkeypatch.setattr(engine, "spec", engine.spec.model_copy(update={"phantom": False}))
    warnings = check(strange, engine, None)
    assert [w.split(" (")[0] for w in warnings] == [
        "the model was not tuned on wart",
        "the model was not tuned on the skin types blue",
        "1 prompts have more than the 16 tokens that the model reads",
    ]
    assert check(plan.from_rows([{k: v for k, v in row.items() if k != "group"}]), engine, None) == []


def test_prompts_are_counted_by_the_tokenizer_that_the_bundle_has(
    open_engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle of a pipeline that was saved with the fast tokenizer has `tokenizer.json` and no other lists."""
    engine = open_engine()
    folder = Path(shutil.copytree(engine.bundle.folder, tmp_path / "bundle"))
    tokenizer = CLIPTokenizerFast.from_pretrained(folder / "tokenizer")
    shutil.rmtree(folder / "tokenizer")
    tokenizer.save_pretrained(folder / "tokenizer")
    for name in ("vocab.json", "merges.txt"):
        (folder / "tokenizer" / name).unlink(missing_ok=True)
    monkeypatch.setitem(engine.tokenizers, "tokenizer", open_tokenizer(folder))
    row = {"id": "a", "class": "plaque", "group": "dark", "prompt": "an image of " * 9, "size": 64}
    (said,) = check(plan.from_rows([row]), engine, None)
    assert said.startswith("1 prompts have more than the 16 tokens")


def test_a_student_that_is_drawn_as_other_models_is_named(
    open_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan may be of before the bundle, or of another one."""
    engine = open_engine()
    row = {"class": "plaque", "prompt": "An image", "size": 64}
    plans = {solver: plan.from_rows([{**row, "id": "a", "solver": solver}]) for solver in ("lcm", "tcd:0", "euler")}
    assert [check(one, engine, None) for one in plans.values()] == [[], [], []]
    few = FewSteps(solver="lcm", steps=4, guidance=1.0)
    monkeypatch.setattr(engine, "spec", engine.spec.model_copy(update={"few_steps": few}))
    assert check(plans["lcm"], engine, None) == check(plans["tcd:0"], engine, None) == []
    (warning,) = check(plans["euler"], engine, None)
    assert "is drawn by lcm in 4 steps, and the plan draws it by euler" in warning


def test_photographs_and_masks_that_no_row_uses_are_refused(images: Path, tmp_path: Path) -> None:
    row = {"id": "a", "class": "plaque", "group": "dark", "prompt": "An image", "size": 64}
    with pytest.raises(UserError, match="no row of the plan starts from a photograph"):
        refuse_unused(plan.from_rows([row]), Parents(open_data(images), images))
    redrawn = {**row, "strategy": "inpaint", "mask": "centre", "parent": open_data(images).rows["id"][0]}
    with pytest.raises(UserError, match="no row of the plan redraws a lesion"):
        refuse_unused(plan.from_rows([redrawn]), Parents(open_data(images), images, tmp_path))


def test_a_pair_of_class_and_skin_type_that_the_model_never_saw_is_named(
    open_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows both words, and has not seen them together: the images would be labelled all the same."""
    engine = open_engine()
    seen = [ValidationPrompt(prompt="p", label="plaque", group="dark"), ValidationPrompt(prompt="p", label="ulcer")]
    monkeypatch.setattr(engine, "spec", engine.spec.model_copy(update={"validation_prompts": seen}))
    rows = [
        {"id": f"{label}-{group}", "class": label, "group": group, "prompt": "An image", "size": 64}
        for label, group in (("plaque", "dark"), ("ulcer", "dark"))
    ]
    assert check(plan.from_rows(rows[:1]), engine, None) == []
    (said,) = check(plan.from_rows(rows), engine, None)
    assert said.startswith("no image that the model was tuned on shows ulcer of skin type dark: look at these")
