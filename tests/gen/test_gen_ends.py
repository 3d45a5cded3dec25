"""`gen plan` and `gen finetune`, and what puts a folder into its place, ended at any call in any way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ends import ENDS, Trial, Warm
from folder_helpers import NEW, is_there

#: Points of each end in the fast tests.
FEW = 2
MOST = pytest.mark.parametrize("most", [FEW, pytest.param(None, marks=pytest.mark.slow)])


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", ["replace", "replace_by_two_renames"])
@pytest.mark.parametrize("before", ["none", "old"])
def test_a_folder_is_replaced(warm: Warm, tmp_path: Path, before: str, way: str, end: str) -> None:
    """At all points; where names are exchanged in one call, nobody ever finds the folder missing."""
    old = {"weights": b"old", "other": b"old"} if before == "old" else {}
    for name, content in old.items():
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_bytes(content)

    def valid(folder: Path) -> None:
        there = is_there(folder, "out", [old, NEW])
        if before == "old" and way == "replace":
            there &= (folder / "out").is_dir()
        assert there, "neither before nor after"

    trial = Trial(warm, f"folder_helpers:{way} {{}}", tmp_path, valid=valid)
    assert trial.check(end) >= 2


@pytest.fixture(scope="module", params=["parquet", "csv"])
def plan(request: pytest.FixtureRequest, warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A plan in place of a smaller one."""
    before = tmp_path_factory.mktemp("plan")
    words = f"gen plan --classes plaque,ulcer --groups light,dark --out {{}}/plan.{request.param}"
    warm.run(f"{words.format(before)} --per-cell 1".split(), before)
    return Trial(warm, f"{words} --per-cell 200", before)


@MOST
@pytest.mark.parametrize("end", ENDS)
def test_plan(plan: Trial, end: str, most: int | None) -> None:
    assert plan.check(end, most) >= 1


def timeless(name: str, content: bytes) -> bytes:
    """A log without the seconds that each step took."""
    return re.sub(rb",[0-9.]+$", b"", content, flags=re.MULTILINE) if name.endswith("log.csv") else content


@pytest.fixture(scope="module", params=["fresh", pytest.param("new", marks=pytest.mark.slow)])
def finetune(
    request: pytest.FixtureRequest,
    warm: Warm,
    pipelines: dict[str, Path],
    images: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trial:
    """A tuned pipeline: the first one, or another in place of it."""
    before = tmp_path_factory.mktemp("finetune")
    words = f"gen finetune --model {pipelines['text']} --data {images} --out {{}}/tuned --views 1 --checkpoint-every 1"
    words += " --method lora --ema 0.5 --prior 1 --template skin"
    if request.param == "fresh":
        done = warm.run(f"{words.format(before)} --steps 1".split(), before)
        assert done.status == 0, done.said
        words += " --fresh"

    def valid(folder: Path) -> None:
        found = {name: content for name, content in trial._contents().items() if name.startswith("tuned/")}
        states = [{n: c for n, c in s.items() if n.startswith("tuned/")} for s in (trial.old, trial.new)]
        assert found in states, "the pipeline is neither before nor after"

    trial = Trial(warm, f"{words} --steps 2", before, blank=timeless, between=["tuned.work/*"], valid=valid)
    return trial


@pytest.mark.parametrize("end", ["SIGKILL", "EIO"])
def test_finetune_at_one_point(finetune: Trial, end: str) -> None:
    assert finetune.check(end, 1) == 1


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_finetune(finetune: Trial, end: str) -> None:
    """Nothing is left of the working folder either."""
    assert finetune.check(end) >= 20
