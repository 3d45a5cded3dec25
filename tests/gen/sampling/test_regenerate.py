"""A shard of a real run made again: the same bytes, a damaged shard back, another run named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ends import contents
from flips import flipped, some_bits

from engines import Engine
from engines.errors import EngineError
from engines.pipeline_spec import PipelineSpec
from gen.commands.sample import plan_for
from gen.plan import cells, grid, plan
from gen.plan.grid import GenerationSettings
from gen.sampling import run_record
from gen.sampling.regenerate import regenerate
from gen.sampling.sampler import Sampler
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
    record = run_record.read(folder)
    assert record is not None
    (folder / run_record.RECORD).write_text(record.model_copy(update={"quality": 20}).model_dump_json())
    before = (folder / "s-000002.tar").read_bytes()
    with pytest.raises(CheckFailed, match="2 of 2 images differ"):
        regenerate(folder, 2, bundles["text"], replace=True)
    assert (folder / "s-000002.tar").read_bytes() == before


def test_what_cannot_be_made_again_is_refused(sampled: Path, bundles: dict[str, Path], tmp_path: Path) -> None:
    """A number beyond the run, an engine that is not there or of another run, and a folder without a run."""
    with pytest.raises(UserError, match=r"shard 3 of .*expected 0 to 2"):
        regenerate(sampled, 3, bundles["text"])
    with pytest.raises(EngineError, match="nowhere"):
        regenerate(sampled, 0, tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"inpaint is the bundle .* the run is of"):
        regenerate(sampled, 0, bundles["inpaint"])
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


@pytest.fixture
def purged(sampled: Path, tmp_path: Path) -> tuple[Path, str]:
    """The run after a purge, and the id of the image that was withdrawn, of shard 1."""
    folder = tmp_path / "run"
    shutil.copytree(sampled, folder)
    gone = str(ShardSet.open(folder).rows["id"][4])
    purge(folder, gone)
    return folder, gone


@pytest.mark.parametrize("damage", ["none", "truncated", "altered", "deleted"])
@pytest.mark.parametrize("shard", [0, 1])
@pytest.mark.parametrize("replace", [False, True])
def test_a_lost_record_of_a_purge_is_missed(
    purged: tuple[Path, str], open_engine: Callable[..., Engine], tmp_path: Path, damage: str, shard: int, replace: bool
) -> None:
    """Without `_info.json` too, as in a run that is not complete; before anything is drawn, with a damaged tar too."""
    folder, gone = purged
    (folder / f"_purged.{gone}.json").unlink()
    (folder / "_info.json").unlink(missing_ok=True)
    tar = folder / "s-000001.tar"
    if damage == "deleted":
        tar.unlink()
    elif damage != "none":
        tar.write_bytes(tar.read_bytes()[:700] + b"\1" * (damage == "altered"))
    before = contents(folder)
    record, plan = run_record.read(folder), run_record.read_plan(folder)
    assert record is not None
    assert plan is not None
    said = f"{gone} was withdrawn, and the record .* is missing; put it back"
    with pytest.raises(CheckFailed, match=said):
        regenerate(folder, shard, tmp_path / "nowhere", replace=replace)
    with pytest.raises(CheckFailed, match=said):
        run_record.remaining(folder, plan)
    with pytest.raises(CheckFailed, match=said):
        Sampler(open_engine(), plan, folder, record)
    assert contents(folder) == before


@pytest.mark.parametrize("replace", [False, True])
def test_an_old_shard_that_was_put_back_is_named(
    sampled: Path, purged: tuple[Path, str], tmp_path: Path, replace: bool
) -> None:
    folder, gone = purged
    for kind in ("tar", "json", "idx"):
        shutil.copy(sampled / f"s-000001.{kind}", folder)
    before = contents(folder)
    with pytest.raises(
        CheckFailed, match=f"still holds 1 of the withdrawn images, as {gone}; finish with `shards purge"
    ):
        regenerate(folder, 1, tmp_path / "nowhere", replace=replace)
    assert contents(folder) == before


def test_a_purge_that_comes_in_between_is_named(
    sampled: Path, bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new shard holds the image still: that is what is wrong with it, not the libraries."""
    folder = tmp_path / "run"
    shutil.copytree(sampled, folder)
    gone = str(ShardSet.open(folder).rows["id"][4])
    sample = SamplingJob.sample

    def sample_and_purge(job: SamplingJob, *given: Any) -> Any:
        made = sample(job, *given)
        purge(folder, gone)
        return made

    monkeypatch.setattr(SamplingJob, "sample", sample_and_purge)
    with pytest.raises(CheckFailed, match=f"s-000001.tar holds {gone}, which was withdrawn"):
        regenerate(folder, 1, bundles["text"], replace=True)


@pytest.mark.parametrize("name", [run_record.PLAN, run_record.RECORD])
@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_bit_of_a_run_changes_in_silence(sampled: Path, tmp_path: Path, name: str, count: int) -> None:
    """The plan or the record is refused before the engine is opened, or the plan that is read is the same."""
    folder = tmp_path / "run"
    shutil.copytree(sampled, folder)
    (folder / "s-000001.json").unlink()  # so that nothing else would say that a shard is another one
    whole = run_record.read_plan(folder)
    assert whole is not None
    refused, asked = 0, {"per_cell": None, "classes": None}
    for bit in some_bits(folder / name, count):
        with flipped(folder / name, bit):
            try:
                same = run_record.read_plan(folder)
            except UserError:
                refused += 1
                for use in (
                    partial(plan_for, str(folder), PipelineSpec.model_construct(), None, asked, fresh=False),
                    partial(SamplingJob(folder, tmp_path / "nowhere").sample, [1]),
                    partial(regenerate, folder, 1, tmp_path / "nowhere", replace=True),
                ):
                    with pytest.raises(UserError, match=name):
                        use()
            else:
                assert same is not None
                assert same.csv() == whole.csv(), bit
    assert refused >= 0.9 * count


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
