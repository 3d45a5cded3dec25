"""Other tools read our shards as they are."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from PIL import Image
from shards_helpers import CLASSES, items

from shards import ShardSet, write_info, write_shard

Make = Callable[..., Path]


def test_webdataset_decodes_them(make_shards: Make) -> None:
    """`decode` and `to_tuple` give our pixels, labels and records, in our order."""
    data = ShardSet.open(folder := make_shards(7, fmt="png"))
    urls = [str(folder / sidecar.tar) for sidecar in data.sidecars]
    theirs = list(wds.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("png", "cls", "json", "__key__"))
    assert len(theirs) == data.n
    for (pixels, label, record, key), (sample, image) in zip(theirs, data.images(), strict=True):
        assert (key, record["class"], data.classes[label]) == (sample.id, sample.label, sample.label)
        np.testing.assert_array_equal(pixels, image)


@pytest.mark.parametrize("fmt", ["png", "jpg"])
def test_timm_reads_them(make_shards: Make, fmt: str) -> None:
    """timm's `wds/` reader finds split, length and labels by `_info.json` and `cls`."""
    from timm.data import create_dataset

    folder = make_shards(12, fmt=fmt, split="train")
    found = create_dataset(f"wds/{folder}", root=str(folder), split="train", is_training=False, batch_size=1)
    labels = [label for _, label in found]
    assert len(found) == len(labels) == 12
    assert sorted(labels) == [0] * 6 + [1] * 6


def test_hugging_face_reads_them(make_shards: Make, tmp_path: Path) -> None:
    """`load_dataset("webdataset")` gives one row per sample, with the image and the record."""
    datasets = pytest.importorskip("datasets")
    folder = make_shards(7)
    found = datasets.load_dataset(
        "webdataset", data_files=str(folder / "*.tar"), split="train", cache_dir=str(tmp_path)
    )
    assert [row["__key__"] for row in found] == list(ShardSet.open(folder).rows["id"])
    assert isinstance(found[0]["png"], Image.Image)
    assert found[0]["json"]["class"] == "macule"


def test_a_shard_of_two_splits_is_neither(tmp_path: Path) -> None:
    """timm reads whole shards by split, so a shard with test images must not be listed under train."""
    for index, splits in enumerate((("train",), ("train", "test"), ("test",), (None,))):
        some = [
            (sample.model_copy(update={"split": splits[i % len(splits)]}), image, ext)
            for i, (sample, image, ext) in enumerate(items(4, f"s{index}"))
        ]
        write_shard(tmp_path, "set", index, some, classes=CLASSES)
    write_info(tmp_path)
    found = json.loads((tmp_path / "_info.json").read_text())["splits"]
    assert {name: split["filenames"] for name, split in found.items()} == {
        "train": ["set-000000.tar", "set-000003.tar"],
        "mixed": ["set-000001.tar"],
        "test": ["set-000002.tar"],
    }


def test_dali_index_is_the_documented_one(make_shards: Make) -> None:
    """Compared with `wds2idx`, which uses GNU tar's block numbers: v1.2 and samples, then ext, offset, size, name."""
    sidecar = ShardSet.open(folder := make_shards(4)).sidecars[0]
    head, *lines = (folder / f"{sidecar.stem}.idx").read_text().splitlines()
    assert head == f"v1.2 {sidecar.n}"
    blocks = subprocess.run(["tar", "-R", "-tf", folder / sidecar.tar], capture_output=True, text=True, check=True)
    at = {}
    for line in blocks.stdout.splitlines():
        block, _, name = line.partition(": ")
        if not name.startswith("**"):
            at[name] = (int(block.split()[1]) + 1) * 512
    content = (folder / sidecar.tar).read_bytes()
    for line in lines:
        words = line.split()
        for ext, offset, size, name in zip(words[::4], words[1::4], words[2::4], words[3::4], strict=True):
            assert name.endswith(f".{ext}")
            assert at[name] == int(offset)
            if ext == "json":
                assert json.load(io.BytesIO(content[int(offset) : int(offset) + int(size)]))["id"] == name[:-5]
