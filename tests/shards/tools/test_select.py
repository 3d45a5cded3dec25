"""Selected images keep their bytes and their provenance."""

from __future__ import annotations

from pathlib import Path

import pytest
from shards_helpers import CLASSES, items

from shards import FolderSet, Provenance, ShardSet, UserError, write_shard
from shards.format.provenance import Certificates, Parity
from shards.tools.select import select
from shards.tools.verify import verify

CERTIFIED = Certificates(parity=Parity(passed=True, reference="diffusers"))
FIRST = Provenance("a" * 64, "b" * 64, "c" * 64, ("real-1",), CERTIFIED)
SECOND = Provenance("d" * 64, None, "c" * 64, ("real-2",))


@pytest.fixture
def two_sources(tmp_path: Path) -> ShardSet:
    """Shards of two runs whose ids interleave."""
    for index, (provenance, start) in enumerate([(FIRST, 0), (SECOND, 1), (FIRST, 8)]):
        write_shard(
            tmp_path / "a", "set", index, items(12)[start : start + 7 : 2], classes=CLASSES, provenance=provenance
        )
    return ShardSet.open(tmp_path / "a")


def test_images_of_two_sources_keep_their_own_digests_and_lineage(two_sources: ShardSet, tmp_path: Path) -> None:
    """Digests of one source on images of another would be a false statement."""
    wanted = two_sources.where(exclude=["s-0002", "s-0003"])
    select(wanted, tmp_path / "b", shard_size=2)
    kept = ShardSet.open(tmp_path / "b")
    assert sorted(kept.rows["id"]) == sorted(wanted.rows["id"])
    for id in kept.rows["id"]:
        assert kept.provenance(kept.position(id)) == two_sources.provenance(two_sources.position(id))
        assert kept.read(id) == two_sources.read(id)
    assert {sidecar.n for sidecar in kept.sidecars} <= {1, 2}
    assert not verify(tmp_path / "b", deep=True, workers=1).faults


def test_a_folder_of_images_becomes_shards_with_scores(tmp_path: Path) -> None:
    """Plain files have no provenance; scores are added to the samples."""
    for sample, image, ext in items(4):
        (tmp_path / f"{sample.id}.{ext}").write_bytes(image)
    ticks: list[int] = []
    data = FolderSet.open(tmp_path)
    select(data, tmp_path / "b", "kept", scores={"s-0001": {"quality": 0.5}}, tick=ticks.append)
    kept = ShardSet.open(tmp_path / "b")
    assert list(kept.rows["scores"]) == [{}, {"quality": 0.5}, {}, {}]
    assert kept.provenance(0) == Provenance()
    assert sum(ticks) == 4


def test_nothing_selected_and_leftovers_of_a_larger_set(two_sources: ShardSet, tmp_path: Path) -> None:
    """An empty selection writes nothing; a folder with more shards of the name is refused."""
    with pytest.raises(UserError, match="loosen"):
        select(two_sources.where(ids=[]), tmp_path / "b")
    assert not (tmp_path / "b").exists()
    select(two_sources, tmp_path / "b", shard_size=2)
    (tmp_path / "b" / "selected-000000.json").unlink()
    with pytest.raises(UserError, match="earlier, larger set"):
        select(two_sources.where(ids=["s-0000"]), tmp_path / "b")
