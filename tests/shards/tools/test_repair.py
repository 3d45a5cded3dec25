"""Repair saves what is whole and lists what is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from shards_helpers import CLASSES, items, write

from dermforge.common.errors import MemoryShort
from shards import CheckFailed, ShardSet, UserError, write_shard
from shards.storage.bucket import Bucket
from shards.tools.purge import purge
from shards.tools.repair import repair, salvage
from shards.tools.select import select
from shards.tools.verify import verify


def test_truncation_at_every_block(tmp_path: Path) -> None:
    """A truncated tar is named with both sizes; repair saves exactly the whole samples."""
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


def test_repair_of_flipped_bytes(tmp_path: Path) -> None:
    """Samples without a flipped byte are saved into a new shard that verifies; the others are listed."""
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
    """Samples that can be decoded are saved and counted as unchecked."""
    sidecar = write(tmp_path / "a", 6, digests=False)
    os.truncate(tmp_path / "a" / sidecar.tar, sidecar.samples[4].offset + 100)
    (result,) = repair(tmp_path / "a", tmp_path / "b")
    assert (result.saved, result.lost, result.unchecked) == (4, ["s-0004", "s-0005"], 4)
    assert not verify(tmp_path / "b", deep=True, workers=1).faults


def test_repair_keeps_the_format_that_most_images_have(tmp_path: Path) -> None:
    """A shard has one format, so images of another format inside the tar are left out."""
    for index, some in enumerate((items(3, "p"), items(1, "j", "jpg"))):
        write_shard(tmp_path, "set", index, some, classes=CLASSES)
    archive = b"".join((tmp_path / f"set-00000{index}.tar").read_bytes() for index in (1, 0))
    saved = [(sample.id, ext) for sample, _, ext in salvage(archive, CLASSES)]
    assert saved == [(f"p-000{i}", "png") for i in range(3)]


def test_nothing_is_dropped_for_lack_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_memory(data: object, formats: object) -> None:
        raise MemoryError

    sidecar = write(tmp_path)
    monkeypatch.setattr(Image, "open", without_memory)
    with pytest.raises(MemoryShort, match=r"s-0000: .*more memory than there is"):
        salvage((tmp_path / sidecar.tar).read_bytes(), CLASSES)


def test_repair_of_a_bucket(bucket: str) -> None:
    """Whole samples are saved to another address; the damaged object is not changed."""
    sidecar = write_shard(bucket, "set", 0, items(6), classes=CLASSES)
    place = Bucket(bucket)
    torn = bytearray(place.read(sidecar.tar))
    torn[sidecar.samples[2].offset + 10] ^= 1
    place.write(sidecar.tar, bytes(torn))
    with pytest.raises(UserError, match="give another one"):
        repair(bucket, f"{bucket}/")
    (result,) = repair(bucket, f"{bucket}/saved")
    assert (result.saved, result.lost) == (5, ["s-0002"])
    assert not verify(f"{bucket}/saved", deep=True, workers=1).faults
    assert b"s-0002" in Bucket(f"{bucket}/saved").read("_repaired.json")
    assert place.read(sidecar.tar) == bytes(torn)


def test_withdrawn_images_are_neither_saved_nor_lost(tmp_path: Path) -> None:
    """Also where an old, damaged copy still holds them; the record goes along, and so does that of a selection."""
    sidecar = write(tmp_path / "a", 6)
    old = (tmp_path / "a" / sidecar.tar).read_bytes(), (tmp_path / "a" / "set-000000.json").read_bytes()
    purge(tmp_path / "a", "s-0001")
    select(ShardSet.open(tmp_path / "a"), tmp_path / "c", "set")
    for folder in (tmp_path / "b", tmp_path / "c"):
        if folder.name == "b":
            (tmp_path / "a" / sidecar.tar).write_bytes(old[0][: sidecar.samples[5].offset + 100])
            (tmp_path / "a" / "set-000000.json").write_bytes(old[1])
            (result,) = repair(tmp_path / "a", folder)
            assert (result.saved, result.lost) == (4, ["s-0005"])
        assert "s-0001" not in set(ShardSet.open(folder).rows["id"])
        with pytest.raises(CheckFailed, match="s-0001, which was withdrawn"):
            write_shard(folder, "set", 0, items(6), classes=CLASSES, replace=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"group":"light"', b'"group":"laght"'),
        (b'"parent":"real-1"', b'"parent":"real-2"'),
        (b'"cluster":"pat-1"', b'"cluster":"pat-2"'),
        (b'"seed":17', b'"seed":71'),
        (b'"params":{"radius":3.5}', b'"params":{"radius":5.3}'),
        (b'"prompt":"a macule"', b'"prompt":"a nodule"'),
    ],
)
def test_an_altered_record_beside_an_intact_sidecar_is_lost(tmp_path: Path, before: bytes, after: bytes) -> None:
    """Whichever field was altered: it is neither read, nor copied, nor saved; the others are."""
    facts: dict[str, Any] = {
        "parent": "real-1",
        "cluster": "pat-1",
        "seed": 17,
        "params": {"radius": 3.5},
        "prompt": "a macule",
    }
    sidecar = write_shard(tmp_path / "a", "set", 0, items(3, **facts), classes=CLASSES)
    tar = tmp_path / "a" / sidecar.tar
    whole = tar.read_bytes()
    tar.write_bytes(whole.replace(before, after, 1))
    assert tar.read_bytes() != whole
    with pytest.raises(CheckFailed, match=r"s-0000\.json"):
        ShardSet.open(tmp_path / "a").read("s-0000")
    with pytest.raises(CheckFailed, match=r"s-0000\.json"):
        select(ShardSet.open(tmp_path / "a"), tmp_path / "c")
    (result,) = repair(tmp_path / "a", tmp_path / "b")
    assert (result.saved, result.lost, result.unchecked) == (2, ["s-0000"], 0)
    assert not verify(tmp_path / "b", deep=True, workers=1).faults


def test_what_no_sidecar_vouches_for_is_counted(tmp_path: Path) -> None:
    """Without a sidecar everything is unchecked; an image that the sidecar does not list is not saved."""
    write(tmp_path / "a", 3)
    (tmp_path / "a" / "set-000000.json").unlink()
    (result,) = repair(tmp_path / "a", tmp_path / "b", CLASSES)
    assert (result.saved, result.unchecked) == (3, 3)
    sidecar = write(tmp_path / "d", 2)
    assert len(salvage((tmp_path / "a" / "set-000000.tar").read_bytes(), CLASSES, sidecar)) == 2
