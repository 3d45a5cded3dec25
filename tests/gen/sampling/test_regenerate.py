"""A shard of a real run made again: the same bytes, a damaged shard back, another run named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from engines import Engine
from engines.errors import EngineError
from gen.plan import cells, grid, plan
from gen.plan.grid import GenerationSettings
from gen.sampling import run_record
from gen.sampling.regenerate import regenerate
from gen.sampling.workers import SamplingJob
from shards import CheckFailed, ShardSet, UserError
from shards.storage.bucket import Bucket
from shards.storage.turn import LOCKS
from shards.tools.purge import purge
from shards.tools.verify import verify


@pytest.fixture(scope="module")
def sampled(
    bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run of 8 images in 3 shards; the last is short."""
    folder, engine = tmp_path_factory.mktemp("run"), open_engine()
    counts = cells.uniform(("plaque", "ulcer"), ("very_light", "dark"), 2)
    made = plan.from_rows(grid.rows(GenerationSettings(size=64, steps=2), "An image of {class}, {group} skin", counts))
    record = run_record.describe(engine, made, "s", 3, "jpg", 90)
    run_record.open_run(folder, record, made)
    SamplingJob(folder, bundles["text"], device="cpu").sample(run_record.todo(folder, record), engine)
    return folder


def test_a_shard_is_the_same_again_and_a_damaged_one_comes_back(
    sampled: Path, bundles: dict[str, Path], tmp_path: Path
) -> None:
    """Checking changes nothing, replacing restores the bytes."""
    folder = tmp_path / "run"
    shutil.copytree(sampled, folder)
    tar = folder / "s-000001.tar"
    whole = tar.read_bytes()
    regenerate(folder, 1, bundles["text"])
    torn = whole[:700] + b"\1" + whole[701:]
    tar.write_bytes(torn)
    assert verify(folder, deep=True, workers=1).faults
    regenerate(folder, 1, bundles["text"])
    assert tar.read_bytes() == torn
    regenerate(folder, 1, bundles["text"], replace=True)
    assert tar.read_bytes() == whole
    assert not verify(folder, deep=True, workers=1).faults


def test_a_damaged_shard_in_a_bucket_comes_back(sampled: Path, bundles: dict[str, Path], bucket: str) -> None:
    """The object is exchanged for the one made again, which has the digest that the sidecar says."""
    place = Bucket(bucket)
    for path in sampled.iterdir():
        place.put(path, path.name)
    whole = place.read("s-000001.tar")
    place.write("s-000001.tar", whole[:700] + b"\1" + whole[701:])
    assert verify(bucket, deep=True, workers=1).faults
    regenerate(bucket, 1, bundles["text"], replace=True)
    assert place.read("s-000001.tar") == whole
    assert not verify(bucket, deep=True, workers=1).faults
    names = {name for name in place.names() if not fnmatch(name, LOCKS)}
    assert names == {path.name for path in sampled.iterdir()}


def test_what_differs_is_counted(sampled: Path, bundles: dict[str, Path], tmp_path: Path) -> None:
    """Another quality than the run's gives other images: a failed check that says how many, and nothing is replaced."""
    folder = tmp_path / "run"
    shutil.copytree(sampled, folder)
    record = json.loads((folder / run_record.RECORD).read_text())
    (folder / run_record.RECORD).write_text(json.dumps(record | {"quality": 20}))
    before = (folder / "s-000002.tar").read_bytes()
    with pytest.raises(CheckFailed, match="2 of 2 images differ"):
        regenerate(folder, 2, bundles["text"], replace=True)
    assert (folder / "s-000002.tar").read_bytes() == before


def test_what_cannot_be_made_again_is_refused(sampled: Path, bundles: dict[str, Path], tmp_path: Path) -> None:
    """A number beyond the run, an engine that is not there, and a folder without a run."""
    with pytest.raises(UserError, match=r"shard 3 of .*expected 0 to 2"):
        regenerate(sampled, 3, bundles["text"])
    with pytest.raises(EngineError, match="nowhere"):
        regenerate(sampled, 0, tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"has no run\.json and plan\.csv"):
        regenerate(tmp_path, 0, bundles["text"])


@pytest.mark.parametrize("damage", ["truncated", "altered", "deleted", "without sidecar", "fresh", "regenerated"])
def test_a_withdrawn_image_does_not_come_back(
    sampled: Path, bundles: dict[str, Path], open_engine: Callable[..., Engine], tmp_path: Path, damage: str
) -> None:
    """Whatever happens to a purged shard, it is made again as the purge left it."""
    folder = tmp_path / "run"
    shutil.copytree(sampled, folder)
    gone = ShardSet.open(folder).rows["id"][4]
    purge(folder, gone)
    tar, sidecar = folder / "s-000001.tar", folder / "s-000001.json"
    purged, rows = tar.read_bytes(), sidecar.read_bytes()
    record, plan = run_record.read(folder), run_record.read_plan(folder)
    assert record is not None
    assert plan is not None
    if damage == "truncated":
        tar.write_bytes(purged[:700])
    elif damage in ("altered", "regenerated"):
        tar.write_bytes(purged[:700] + b"\1" + purged[701:])
    elif damage == "deleted":
        tar.unlink()
        sidecar.unlink()
    elif damage == "without sidecar":
        sidecar.unlink()
    if damage in ("altered", "regenerated"):
        regenerate(folder, 1, bundles["text"], replace=True)
    else:
        run_record.open_run(folder, record, plan, fresh=damage == "fresh")
        job = SamplingJob(folder, bundles["text"], device="cpu")
        assert job.sample(run_record.todo(folder, record), open_engine()).images == (7 if damage == "fresh" else 2)
    assert tar.read_bytes() == purged
    assert sidecar.read_bytes() == rows
    regenerate(folder, 1, bundles["text"])
    assert run_record.finish(folder, record) == []
    assert gone not in set(ShardSet.open(folder).rows["id"])
    assert not verify(folder, deep=True, workers=1).faults
    (folder / f"_purged.{gone}.json").unlink()
    with pytest.raises(CheckFailed, match=f"{gone} was withdrawn, and the record .* is missing"):
        run_record.remaining(folder, plan)
    with pytest.raises(CheckFailed, match=f"{gone} was withdrawn, and the record .* is missing"):
        regenerate(folder, 1, bundles["text"])


def test_a_run_goes_on_without_the_whole_of_a_withdrawn_shard(
    sampled: Path, open_engine: Callable[..., Engine], bundles: dict[str, Path], tmp_path: Path
) -> None:
    """An empty shard is drawn empty; the contact sheet of a set without images is drawn too."""
    folder = tmp_path / "run"
    shutil.copytree(sampled, folder)
    for key in list(ShardSet.open(folder).rows["id"]):
        purge(folder, key)
    (folder / "s-000002.json").unlink()
    record = run_record.read(folder)
    assert record is not None
    assert SamplingJob(folder, bundles["text"], device="cpu").sample([2], open_engine()).images == 0
    assert run_record.finish(folder, record) == []
    assert ShardSet.open(folder).n == 0


def test_in_a_bucket_too(sampled: Path, bundles: dict[str, Path], bucket: str) -> None:
    place = Bucket(bucket)
    for path in sampled.iterdir():
        place.put(path, path.name)
    gone = ShardSet.open(bucket).rows["id"][4]
    purge(bucket, gone)
    purged = place.read("s-000001.tar")
    place.write("s-000001.tar", purged[:700] + b"\1" + purged[701:])
    regenerate(bucket, 1, bundles["text"], replace=True)
    assert place.read("s-000001.tar") == purged
