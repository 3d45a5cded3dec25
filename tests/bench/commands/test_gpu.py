"""`bench gpu`: rehearsed whole at tiny shapes, and with steps that are killed on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from bench.cli import PROGRAM
from bench.measure.record import load
from bench.suites.gpu.first_run import first_run
from bench.suites.gpu.summary import outcomes, read_run
from dermforge.common.errors import CheckFailed, UserError

NAMES = [step.name for step in first_run().steps]
#: A CPU does not multiply in these, and has no memory of its own.
SKIPPED = {f"matrix products in {p}" for p in ("fp16", "tf32", "fp8")} | {"our memory"}


def gpu(out: Path, *words: str) -> Result:
    return CliRunner().invoke(PROGRAM.app(), ["gpu", str(out), *words])


def ends(out: Path) -> dict[str, str]:
    """How each step ended when it was first tried."""
    found = outcomes(read_run(out)[0])
    return {name: outcome.status for name, outcome in found.items() if not name.endswith(" again")}


def test_a_rehearsal_goes_through_every_step(tmp_path: Path) -> None:
    """Every step is done or does not apply to a CPU; the results are a record like any other, and a table."""
    result = gpu(tmp_path / "out", "--rehearse")
    assert result.exception is None, result.output
    assert ends(tmp_path / "out") == {name: "skipped" if name in SKIPPED else "done" for name in NAMES}
    record = load(tmp_path / "out" / "gpu.json")
    names = {m.name.rpartition("/")[0] or m.name for m in record.measurements}
    assert {"step", "rows", "arithmetic", "share", "matmul", "start", "kernels/ours", "images/ours"} <= names
    assert {"sampler/ours", "images/diffusers", "images/diffusers compiled, batch 32", "speedup"} <= names
    same = [m for m in record.measurements if m.name.startswith("same images")]
    assert [m.median for m in same] == [1.0, 1.0]
    assert record.settings["rehearsal"] is True
    assert "a rehearsal on a CPU: not to be quoted" in result.output
    assert "== our step" in (tmp_path / "out" / "logs.txt").read_text()
    shown = gpu(tmp_path / "out", "--show")
    assert f"steps: {len(NAMES) - len(SKIPPED)} done, {len(SKIPPED)} skipped" in shown.output


@pytest.mark.slow
@pytest.mark.parametrize("parity", [0, 1])
def test_each_step_is_killed_once_and_the_rest_is_measured(tmp_path: Path, parity: int) -> None:
    """The real steps: every other one dies in one run, and the others in another."""
    killed = NAMES[parity::2]
    faults = [word for name in killed for word in ("--fault", f"{name}=dies")]
    result = gpu(tmp_path / "out", "--rehearse", "--seconds", "3000", *faults)
    assert isinstance(result.exception, CheckFailed)
    assert all(f"{name} (died: of SIGKILL)" in str(result.exception) for name in killed)
    expected = {name: "skipped" if name in SKIPPED else "done" for name in NAMES}
    assert ends(tmp_path / "out") == expected | dict.fromkeys(killed, "died")
    assert (tmp_path / "out" / "gpu.json").exists() == ("machine" not in killed)


def test_words_that_mean_nothing_are_refused_before_anything_runs(tmp_path: Path) -> None:
    for words, said in (
        (["--shapes", "sd9"], "unknown --shapes 'sd9'; expected sd15 or sd21-base"),
        (["--rehearse", "--fault", "our step=explodes"], "expected STEP=HOW with one of fails, hangs, dies"),
        (["--show"], "no gpu.jsonl in"),
    ):
        result = gpu(tmp_path / "out", *words)
        assert isinstance(result.exception, UserError)
        assert said in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_command_says_what_works(tmp_path: Path) -> None:
    result = gpu(tmp_path / "out")
    assert isinstance(result.exception, UserError)
    assert "torch sees no CUDA device here; --rehearse" in str(result.exception)
