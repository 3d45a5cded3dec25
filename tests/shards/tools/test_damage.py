"""Shards that were damaged or forged where they lie: named with file, expected, got and remedy, or repaired."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import CLASSES, items, names, write

from shards import CheckFailed, Provenance, ShardSet, Sidecar, UserError, write_shard
from shards.format.interop import dali_index
from shards.format.unpack import unpack
from shards.tools.repair import repair, salvage
from shards.tools.verify import verify


def test_truncation_at_every_block(tmp_path: Path) -> None:
    """A torn tar is named with both sizes; repair saves exactly the samples that are whole."""
    sidecar = write(tmp_path)
    tar = tmp_path / sidecar.tar
    content = tar.read_bytes()
    for size in range(0, len(content), 512):
        tar.write_bytes(content[:size])
        with pytest.raises(CheckFailed, match=f"has {size} bytes, its sidecar says {len(content)}.*repair"):
            ShardSet.open(tmp_path)
        assert verify(tmp_path).faults
        saved = [sample.id for sample, _, _ in salvage(content[:size], CLASSES)]
        ends = {row.id: max(at + n for at, n in row.members.values()) for row in sidecar.samples}
        assert saved == [key for key, end in ends.items() if end <= size]


def test_truncation_while_open(make_shards: Callable[..., Path]) -> None:
    """A tar that shrinks under an open reader raises; it does not end early."""
    folder = make_shards(4)
    data = ShardSet.open(folder)
    os.truncate(folder / data.sidecars[0].tar, 4096)
    with pytest.raises(CheckFailed, match="its sidecar says"):
        list(data.samples())


def test_any_flipped_byte_of_the_tar_is_found(tmp_path: Path) -> None:
    """Deep verification finds a flip anywhere; reading finds it in headers and images and names the member."""
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


def test_any_flipped_byte_of_the_sidecar_is_found(tmp_path: Path) -> None:
    """A sidecar is its own check."""
    record = tmp_path / f"{write(tmp_path, 1).stem}.json"
    content = bytearray(record.read_bytes())
    for at in range(len(content)):
        content[at] ^= 0x01
        with pytest.raises(CheckFailed, match=r"x.json"):
            Sidecar.from_bytes(bytes(content), "x.json")
        content[at] ^= 0x01


def test_repair_of_flipped_bytes(tmp_path: Path) -> None:
    """What a flip did not touch is saved into a new shard that verifies; what it did is listed."""
    sidecar = write(tmp_path / "a", 6)
    tar = tmp_path / "a" / sidecar.tar
    content = bytearray(tar.read_bytes())
    content[sidecar.samples[2].offset + 10] ^= 1  # a header
    content[sidecar.samples[4].members["png"][0] + 60] ^= 1  # an image
    tar.write_bytes(content)
    (result,) = repair(tmp_path / "a", tmp_path / "b")
    assert (result.saved, result.lost) == (4, ["s-0002", "s-0004"])
    assert not verify(tmp_path / "b", deep=True, workers=1).faults


def test_repair_of_a_shard_without_digests(tmp_path: Path) -> None:
    """What is whole by structure and can be decoded is saved, and it is said that no digest vouches for it."""
    sidecar = write(tmp_path / "a", 6, digests=False)
    os.truncate(tmp_path / "a" / sidecar.tar, sidecar.samples[4].offset + 100)
    (result,) = repair(tmp_path / "a", tmp_path / "b")
    assert (result.saved, result.lost, result.unchecked) == (4, ["s-0004", "s-0005"], 4)
    assert not verify(tmp_path / "b", deep=True, workers=1).faults


def test_repair_keeps_the_format_that_most_images_have(tmp_path: Path) -> None:
    """One shard, one format: of a stretch of another file that lies in the tar, nothing is taken in."""
    for index, some in enumerate((items(3, "p"), items(1, "j", "jpg"))):
        write_shard(tmp_path, "set", index, some, classes=CLASSES)
    archive = b"".join((tmp_path / f"set-00000{index}.tar").read_bytes() for index in (1, 0))
    saved = [(sample.id, ext) for sample, _, ext in salvage(archive, CLASSES)]
    assert saved == [(f"p-000{i}", "png") for i in range(3)]


def test_shards_of_two_plans_in_one_folder_are_noted(tmp_path: Path) -> None:
    """Not a fault, since a user may have wished it, but what a hurried copy looks like."""
    for index, plan in enumerate(("a" * 64, "a" * 64, "b" * 64)):
        write_shard(tmp_path, "set", index, items(2, f"s{index}"), classes=CLASSES, provenance=Provenance(plan))
    verdict = verify(tmp_path)
    assert not verdict.faults
    assert [note for note in verdict.notes if "another plan" in note] == [
        f"{tmp_path}/set-000002.tar is of another plan than set-000000.tar"
    ]


def test_uncommitted_tar_is_named(tmp_path: Path) -> None:
    """A tar without its commit record is not data."""
    write(tmp_path)
    (tmp_path / "set-000000.json").unlink()
    with pytest.raises(CheckFailed, match=r"set-000000.tar has no sidecar.*repair"):
        ShardSet.open(tmp_path)


def test_lost_tar_and_lost_pair_are_named(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    """A missing tar is found by its sidecar, a missing pair by timm's `_info.json`."""
    folder = tmp_path / "x"
    shutil.copytree(make_shards(10), folder)
    (folder / "set-000001.tar").unlink()
    with pytest.raises(CheckFailed, match=r"set-000001\.tar is missing"):
        ShardSet.open(folder)
    (folder / "set-000001.json").unlink()
    with pytest.raises(CheckFailed, match=r"set-000001.tar is missing.*_info.json lists it"):
        ShardSet.open(folder)


def test_duplicate_ids_are_refused(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    """The writer refuses a second one; the reader refuses one that is in two shards."""
    same = items(1)
    with pytest.raises(UserError, match="only once"):
        write_shard(tmp_path, "set", 0, same + same, classes=CLASSES)
    assert names(tmp_path) == []
    write_shard(tmp_path, "set", 0, same, classes=CLASSES)
    write_shard(tmp_path, "set", 1, same, classes=CLASSES)
    with pytest.raises(CheckFailed, match=r"'s-0000' is in set-000000.tar and in set-000001.tar"):
        ShardSet.open(tmp_path)


def forged(sidecar: Sidecar, **row: object) -> bytes:
    """A sidecar whose first row was changed, signed again: what a forger would write."""
    first = sidecar.samples[0].model_copy(update=row)
    return sidecar.model_copy(update={"samples": [first, *sidecar.samples[1:]]}).to_bytes()


@pytest.mark.parametrize(
    "row",
    [
        {"id": "../../etc/passwd"},
        {"id": "/etc/passwd"},
        {"id": "a.b"},
        {"bytes": 1 << 40},
        {"offset": 512},
        {"members": {"cls": (512, 1), "json": (1536, 1), "pyd": (2560, 9)}},
        {"members": {"cls": (512, 1), "json": (1536, 1), "pkl": (2560, 9)}},
        {"members": {"cls": (512, 1), "png": (1536, 1)}},
        {"members": {"cls": (512, 1), "json": (1536, 1), "png": (1, 9)}},
        {"members": {"cls": (512, 1), "json": (1536, 400), "png": (2560, 1 << 50)}},
    ],
)
def test_forged_sidecars_are_refused(tmp_path: Path, row: dict[str, object]) -> None:
    """Paths for names, pickles, missing members and enormous claims are refused before any tar is opened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, on writing what it would not read
        content = forged(write(tmp_path), **row)
    with pytest.raises(CheckFailed, match="not a valid sidecar"):
        Sidecar.from_bytes(content, "x.json")


def test_other_members_have_no_place(tmp_path: Path) -> None:
    """A pickle slipped into a tar fits no sidecar: its bytes are not those of the listed members."""
    import io
    import tarfile

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


def test_json_that_disagrees_is_named(tmp_path: Path) -> None:
    """The record of a sample and the row of its sidecar must say the same."""
    sidecar = write(tmp_path, 1)
    row = sidecar.samples[0].model_copy(update={"group": "tan"})
    data = (tmp_path / sidecar.tar).read_bytes()[row.offset : row.offset + row.bytes]
    with pytest.raises(CheckFailed, match="says group 'light', the sidecar 'tan'"):
        unpack(data, row, "x.tar", True)


def test_index_matches_its_shard(tmp_path: Path) -> None:
    """A stale `.idx` would make DALI read other bytes; deep verification says so."""
    sidecar = write(tmp_path)
    index = tmp_path / f"{sidecar.stem}.idx"
    assert index.read_bytes() == dali_index(sidecar)
    index.write_bytes(index.read_bytes().replace(b" 512 ", b" 1024 "))
    assert any("is not the index" in fault for fault in verify(tmp_path, deep=True, workers=1).faults)
