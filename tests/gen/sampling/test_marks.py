"""Images of a run are marked by their bundle; a run that began without marks goes on without, and no shard is mixed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs_helpers import files, rows

from dermforge.common.errors import UserError
from dermforge.common.sealed_file import sealed_json
from engines import Engine
from gen.plan.plan import PlanRow
from gen.sampling import run_record
from gen.sampling.image_record import mark_of_row
from gen.sampling.regenerate import regenerate
from gen.sampling.sampler import Sampler
from shards import Mark, ShardSet, decode_image, mark_of
from shards.tools.verify import verify

ROW = {"id": "a", "class": "plaque", "prompt": "skin", "seed": 7, "size": 64}


def before_marks(folder: Path) -> None:
    """Make the record of a run that of a version without marks."""
    record: dict[str, Any] = run_record.read(folder).model_dump(exclude={"marks"})  # type: ignore[union-attr]
    (folder / run_record.RECORD).write_bytes(sealed_json(json.dumps(record)))


def draw(engine: Engine, folder: Path, shards: list[int], begun: run_record.RunRecord | None = None) -> None:
    plan = rows(1)
    record = run_record.describe(engine, plan, "s", 2, begun=begun)
    run_record.open_run(folder, record, plan)
    Sampler(engine, plan, folder, record).run(shards)


@pytest.fixture(scope="module")
def marked(open_engine: Callable[..., Engine], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two shards."""
    folder = tmp_path_factory.mktemp("marked")
    draw(open_engine(), folder, [0, 1])
    return folder


def test_every_image_of_a_run_is_marked_with_its_bundle(marked: Path, open_engine: Callable[..., Engine]) -> None:
    """Images of text are all the model's, and those of a photograph are the photograph's too."""
    engine = open_engine()
    drawn = Mark("trainedAlgorithmicMedia", "", engine.bundle_digest)
    assert [mark_of(data) for _, data in ShardSet.open(marked).samples(verify=True)] == [drawn] * 4
    assert not verify(marked, deep=True, workers=1, require_marks=True).faults
    run = run_record.read(marked)
    assert run is not None
    text, parent = (PlanRow.model_validate(ROW | more) for more in ({}, {"strategy": "inpaint", "parent": "p"}))
    assert mark_of_row(text, run) == Mark("trainedAlgorithmicMedia", digest=engine.bundle_digest)
    assert mark_of_row(parent, run) == Mark("compositeWithTrainedAlgorithmicMedia", digest=engine.bundle_digest)


def test_a_run_of_before_is_resumed_and_made_again_without_marks(
    marked: Path, bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    """Its shards are those that the older version would have written; the pixels are those of the marked ones."""
    engine, folder = open_engine(), tmp_path / "run"
    draw(engine, folder, [])
    before_marks(folder)
    begun = run_record.read(folder)
    assert begun is not None
    assert begun.marks is None
    draw(engine, folder, [0], begun)
    draw(engine, folder, [1], run_record.read(folder))
    there = ShardSet.open(folder)
    assert {mark_of(data) for _, data in there.samples()} == {None}
    for (_, ours), (_, theirs) in zip(there.samples(), ShardSet.open(marked).samples(), strict=True):
        assert ours != theirs
        assert (decode_image(ours) == decode_image(theirs)).all()
    regenerate(folder, 1, bundles["text"])
    assert verify(folder, deep=True, workers=1).notes[-1].startswith("4 of 4 images are synthetic and not marked")
    assert "not marked" in verify(folder, deep=True, workers=1, require_marks=True).faults[-1]


def test_a_run_is_never_half_marked(open_engine: Callable[..., Engine], marked: Path, tmp_path: Path) -> None:
    """Whoever does not say that the run is resumed is refused, and nothing is changed."""
    folder = Path(shutil.copytree(marked, tmp_path / "run"))
    before_marks(folder)
    whole = files(folder)
    with pytest.raises(UserError, match="another marks: None there, 1 now"):
        draw(open_engine(), folder, [1])
    assert files(folder) == whole
