"""`bench shards`: every contestant does the same work, shares are taken turn by turn, a missed bar fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measure.record import Measurement
from bench.suites import shards as bench_shards
from shards import ShardSet


def test_every_contestant_writes_and_reads_the_same_samples(tmp_path: Path) -> None:
    """Each writer's tar holds all members, each reader gives every sample; nobody is faster by doing less."""
    import tarfile

    files = bench_shards.make_files(64, 2000)
    contents = {}
    for name in ("_tarfile", "_webdataset"):
        (tmp_path / name).mkdir()
        getattr(bench_shards, name)(files, tmp_path / name)
    for digests in (True, False):
        bench_shards._ours(files, tmp_path / f"ours{digests}", digests)
    for folder in sorted(tmp_path.iterdir()):
        (path,) = folder.glob("*.tar")
        with tarfile.open(path) as archive:
            members = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
        assert len(members) == 3 * 64
        contents[folder.name] = {name: data for name, data in members.items() if name.endswith(".jpg")}
    assert len({tuple(sorted(images.items())) for images in contents.values()}) == 1
    data = ShardSet.open(tmp_path / "oursTrue")
    urls = [str(tmp_path / "oursTrue" / data.sidecars[0].tar)]
    assert bench_shards._mix(data, 64) == bench_shards._random_mix(urls, 64) == 64
    assert bench_shards._read_tarfile(urls) > 64 * 2000


def test_one_run_measures_all_and_leaves_nothing(tmp_path: Path) -> None:
    """Ten contestants, each as often as asked, in samples/s and MB/s; the scratch files go."""
    seen: list[str] = []
    found = bench_shards.measure(bench_shards.make_files(64, 200), tmp_path, 2, seen.append)
    assert len(seen) == 2 * len(set(seen)) == 20
    assert {m.unit for m in found} == {"samples/s", "MB/s"}
    assert all(len(m.samples) == 2 and min(m.samples) > 0 for m in found)
    assert not list(tmp_path.iterdir())


def test_shares_are_taken_turn_by_turn() -> None:
    """A slow turn of the disk slows both: the share is of one turn, not of two medians."""

    def speed(name: str, *samples: float) -> Measurement:
        return Measurement(name=f"{name}/samples", unit="samples/s", better="higher", samples=list(samples))

    found = bench_shards.shares(
        [
            speed("write/tarfile", 100, 10, 50),
            speed("write/ours", 90, 9, 45),
            speed("write/ours, no digests", 95, 9.5, 48),
            speed("read/webdataset", 10, 20, 30),
            speed("read/ours", 20, 20, 15),
        ]
    )
    by_name = {m.name: m for m in found}
    assert by_name["share/write/ours of write/tarfile"].samples == pytest.approx([0.9, 0.9, 0.9])
    assert by_name["share/read/ours of read/webdataset"].samples == pytest.approx([2, 1, 0.5])
    assert [m.details["bar"] for m in found] == [0.80, 0.95, 0.90]
