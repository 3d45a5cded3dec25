"""Verification names every kind of damage."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards_helpers import CLASSES, items, write

from shards import CheckFailed, Provenance, ShardSet, write_shard
from shards.format.interop import dali_index
from shards.format.tar import trailer
from shards.storage.bucket import Bucket
from shards.tools.repair import salvage
from shards.tools.verify import ends_as_an_archive, verify


def test_any_flipped_byte_of_the_tar_is_found(tmp_path: Path) -> None:
    """Deep verification finds a flipped byte anywhere; reading finds it in headers and images, and names the member."""
    sidecar = write(tmp_path, 2)
    tar = tmp_path / sidecar.tar
    content = bytearray(tar.read_bytes())
    images = [range(at, at + n) for row in sidecar.samples for at, n in [row.members["png"]]]
    headers = [range(at - 512, at) for row in sidecar.samples for at, _ in row.members.values()]
    for at in range(0, len(content), 61):
        content[at] ^= 0x10
        tar.write_bytes(content)
        assert verify(tmp_path, deep=True, workers=1).faults
        if any(at in part for part in images + headers):
            with pytest.raises(CheckFailed, match=r"set-000000.tar is damaged: .*s-000[01]\."):
                list(ShardSet.open(tmp_path).samples(verify=True))
        content[at] ^= 0x10


def test_a_whole_shard_of_any_length_has_no_fault(tmp_path: Path) -> None:
    """Members may end anywhere in a record of 20 blocks: one block more of JSON each time, over two records."""
    for blocks in range(42):
        (tmp_path / str(blocks)).mkdir()
        samples = items(1, prompt="x" * 512 * blocks)
        sidecar = write_shard(tmp_path / str(blocks), "set", 0, samples, classes=CLASSES)
        tar = tmp_path / str(blocks) / sidecar.tar
        assert tar.stat().st_size % tarfile.RECORDSIZE == 0
        assert not verify(tmp_path / str(blocks), deep=True, workers=1).faults


@given(blocks=st.integers(0, 60), change=st.sampled_from(["none", "less", "more", "byte"]))
def test_the_end_of_an_archive_is_checked_to_its_last_byte(blocks: int, change: str) -> None:
    content = bytearray(bytes(512 * blocks) + trailer(512 * blocks))
    if change == "byte":
        content[-1] = 1
    more = {"less": content[:-1], "more": content + b"\0"}.get(change, content)
    with tempfile.TemporaryFile() as file:
        file.write(more)
        file.flush()
        assert ends_as_an_archive(file, 512 * blocks) == (change == "none")


def test_shards_of_two_plans_in_one_folder_are_noted(tmp_path: Path) -> None:
    """Not a fault, but it may be a copying mistake."""
    for index, plan in enumerate(("a" * 64, "a" * 64, "b" * 64)):
        write_shard(tmp_path, "set", index, items(2, f"s{index}"), classes=CLASSES, provenance=Provenance(plan))
    verdict = verify(tmp_path)
    assert not verdict.faults
    assert [note for note in verdict.notes if "another plan" in note] == [
        f"{tmp_path}/set-000002.tar is of another plan than set-000000.tar"
    ]


def test_other_members_have_no_place(tmp_path: Path) -> None:
    """A pickle that was added to a tar does not match the sidecar."""
    import io

    sidecar = write(tmp_path)
    with tarfile.open(tmp_path / sidecar.tar, "a") as archive:
        info = tarfile.TarInfo("s-0002.pyd")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"bad"))
    if (tmp_path / sidecar.tar).stat().st_size == sidecar.bytes:
        assert any("does not end as an archive" in fault for fault in verify(tmp_path, deep=True, workers=1).faults)
    else:
        with pytest.raises(CheckFailed, match="sidecar says"):
            ShardSet.open(tmp_path)
    assert [sample.id for sample, _, _ in salvage((tmp_path / sidecar.tar).read_bytes(), CLASSES)] == [
        "s-0000",
        "s-0001",
        "s-0002",
    ]


def test_index_matches_its_shard(tmp_path: Path) -> None:
    """A stale `.idx` would make DALI read other bytes; deep verification says so."""
    sidecar = write(tmp_path)
    index = tmp_path / f"{sidecar.stem}.idx"
    assert index.read_bytes() == dali_index(sidecar)
    index.write_bytes(index.read_bytes().replace(b" 512 ", b" 1024 "))
    assert any("is not the index" in fault for fault in verify(tmp_path, deep=True, workers=1).faults)


def test_a_stale_index_is_found(bucket: str) -> None:
    sidecar = write_shard(bucket, "set", 0, items(4), classes=CLASSES)
    Bucket(bucket).write(f"{sidecar.stem}.idx", b"v1.2 0\n")
    assert any("is not the index" in fault for fault in verify(bucket, deep=True, workers=1).faults)
