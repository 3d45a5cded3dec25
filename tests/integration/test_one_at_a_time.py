"""Two runs in one folder: the second is refused at once, in a line, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_helpers import call
from ends import contents
from study_helpers import BASE, generator
from tiny_pipeline import tiny_pipeline

from gen.phantoms.dataset import PhantomSplit
from shards import ShardSet
from shards.storage.turn import turn

SMALL = "--steps 1 --batch 8 --model test_efficientnet --weights scratch --size 32"
TUNED = "--model {}/pipeline --data {}/real/train --out {}/tuned --work {}/work --steps 1"
#: Commands whose work can be resumed, and the folder of that work.
LINES = {
    "train": (f"evalsuite train --real {{}}/real --out {{}}/trained {SMALL}", "trained"),
    "run": (f"evalsuite run --real {{}}/real --synthetic {{}}/made --n-real 2 --seeds 1 {SMALL} --out {{}}/run", "run"),
    "study": (
        "evalsuite study --real {}/real --synthetic {}/made --arms none --n-real 2 --ratios 1 --seeds 1 "
        f"{SMALL} --out {{}}/study",
        "study",
    ),
    "paper": ("bench paper --study --work {}/paper --n-real 2 --seeds 1 --out {}/tables", "paper/study"),
    "finetune": (f"gen finetune {TUNED}", "work"),
    "distill": (f"gen distill {TUNED}", "work"),
    "distill-decoder": (f"gen distill-decoder {TUNED} --schedule constant", "work"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made")
    for split in ("train", "validation", "test"):
        PhantomSplit(split, 1, seed=900).write(made / "real")  # type: ignore[arg-type]
    generator(made / "made", "made", ShardSet.open(made / "real" / "train").classes, (BASE,))
    tiny_pipeline(made / "pipeline")
    for _, work in LINES.values():
        (made / work).mkdir(parents=True, exist_ok=True)
    return made


@pytest.mark.parametrize("case", LINES)
@pytest.mark.usefixtures("fresh_accelerator")
def test_a_second_run_in_a_folder_is_refused(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line, work = LINES[case]
    with turn(folder / work):
        before = contents(folder)
        assert call(line.replace("{}", str(folder))) == 2
        assert f"another process is changing {folder / work}" in capsys.readouterr().err.replace("\n", " ")
        assert contents(folder) == before
