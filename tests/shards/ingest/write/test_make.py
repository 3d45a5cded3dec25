"""Real images become shards: copies, splits, and what was dropped."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from shards_helpers import foreign_tar, picture

from shards import ShardSet
from shards.format.images import decode_image, encode_image
from shards.ingest.files.walk import File
from shards.ingest.importing import find
from shards.ingest.write.encode import Encoding
from shards.ingest.write.make import Splitting, make

SHARES = {"train": 0.5, "validation": 0.25, "test": 0.25}


def test_folder_with_a_table(photos: Path, tmp_path: Path) -> None:
    """Copies are dropped with the reason; near copies and patients stay together in one split."""
    made = make(find(photos), tmp_path / "out", Splitting(SHARES, seed=1))
    assert sum(made.written.values()) == 41
    why = dict(made.dropped)
    assert why["copy.png"] == "same pixels as p00.png"
    assert "broken" in why["torn.png"]
    assert "no such image" in why["lost.png"]
    sets = {split: ShardSet.open(tmp_path / "out" / split) for split in made.written}
    clusters = [set(data.rows["cluster"]) for data in sets.values()]
    assert sum(map(len, clusters)) == len(set.union(*clusters)) == 20
    rows: dict[str, Any] = {str(row.id): row for data in sets.values() for row in data.rows.itertuples()}
    assert rows["near"].cluster == rows["p03"].cluster
    assert rows["p05"].attributes == {"sex": "f"}
    assert {row.origin for row in rows.values()} == {"real"}
    assert len(list(csv.reader((tmp_path / "out" / "_dropped.csv").open()))) == 4
    assert all(abs(made.written[s] / 41 - share) < 0.08 for s, share in SHARES.items())


def test_no_file_name_is_a_formula_in_the_lists(tmp_path: Path) -> None:
    """Whoever names a file would choose what a spreadsheet runs."""
    (tmp_path / "in" / "=a").mkdir(parents=True)
    (tmp_path / "in" / "=a" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "in" / "=a" / "whole.png").write_bytes(encode_image(picture(0)))
    (tmp_path / "in" / "@b.bin").touch()
    make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1}))
    for name, place in (("_dropped.csv", "'=a/torn.png"), ("_passed_over.csv", "'@b.bin")):
        assert [row[0] for row in csv.reader((tmp_path / "out" / name).open())] == ["name", place]


def test_same_pixels_under_two_names_are_dropped(tmp_path: Path) -> None:
    """An image with two diagnoses is no evidence for either."""
    for label, seeds in (("a", (1, 2)), ("b", (1, 3))):
        (tmp_path / "in" / label).mkdir(parents=True)
        for seed in seeds:
            (tmp_path / "in" / label / f"{label}{seed}.png").write_bytes(encode_image(picture(seed)))
    made = make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1.0}))
    assert sorted(made.written.items()) == [("train", 2)]
    assert {why for _, why in made.dropped} == {"same pixels under a and b"}


@pytest.mark.parametrize(("number", "stops"), [(errno.EMFILE, True), (errno.ENOSPC, True), (errno.EACCES, False)])
def test_no_image_is_dropped_for_a_limit_of_the_machine(
    number: int, stops: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    for seed in range(3):
        (tmp_path / "in" / "a" / f"{seed}.png").write_bytes(encode_image(picture(seed)))
    found, read = find(tmp_path / "in"), File.read

    def once(file: File) -> bytes:
        if file.name == "1.png":
            raise OSError(number, os.strerror(number))
        return read(file)

    monkeypatch.setattr(File, "read", once)
    if stops:
        with pytest.raises(OSError, match=os.strerror(number)):
            make(found, tmp_path / "out", Splitting({"train": 1}))
    else:
        assert [name for name, _ in make(found, tmp_path / "out", Splitting({"train": 1})).dropped] == ["a/1.png"]


def test_named_splits_are_kept(tmp_path: Path) -> None:
    """A copy of a test image leaves the training set, not the other way round."""
    for split, seeds in (("train", (1, 2)), ("test", (2, 3))):
        (tmp_path / "in" / split / "a").mkdir(parents=True)
        for seed in seeds:
            fmt = "jpg" if split == "test" else "png"
            (tmp_path / "in" / split / "a" / f"{split}{seed}.{fmt}").write_bytes(encode_image(picture(seed), fmt))
    made = make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1.0}))
    assert made.written == {"train": 1, "test": 2}
    assert made.dropped[0][0] == "train/a/train2.png"


def test_of_equal_pixels_the_test_image_stays(tmp_path: Path) -> None:
    """Of equal files in two splits, the test image is kept."""
    for split, seeds in (("train", (1, 2)), ("test", (2, 3))):
        (tmp_path / "in" / split / "a").mkdir(parents=True)
        for seed in seeds:
            (tmp_path / "in" / split / "a" / f"{split}{seed}.png").write_bytes(encode_image(picture(seed)))
    made = make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1.0}))
    assert made.written == {"train": 1, "test": 2}
    assert made.dropped == [("train/a/train2.png", "same pixels as test/a/test2.png")]


def test_camera_orientation(tmp_path: Path) -> None:
    """An image that EXIF marks as rotated is turned upright."""
    image = Image.fromarray(picture(1)[:, :40])
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    assert decode_image((tmp_path / "x.jpg").read_bytes()).shape == (40, 64, 3)


def test_one_codec_and_reduced_with_antialiasing(tmp_path: Path) -> None:
    """JPEG and PNG become one codec; a checkerboard reduced by half becomes grey, without a pattern."""
    (tmp_path / "in" / "a").mkdir(parents=True)
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    (tmp_path / "in" / "a" / "board.png").write_bytes(encode_image(board))
    (tmp_path / "in" / "a" / "photo.jpg").write_bytes(encode_image(picture(1), "jpg"))
    (tmp_path / "in" / "a" / "small.png").write_bytes(encode_image(picture(2, 16)))
    make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1.0}), Encoding(32, "webp"))
    data = ShardSet.open(tmp_path / "out" / "train")
    assert {data.row(i).ext for i in range(data.n)} == {"webp"}
    pixels = {sample.id: image for sample, image in data.images()}
    assert {key: image.shape[0] for key, image in pixels.items()} == {"a-board": 32, "a-photo": 32, "a-small": 16}
    assert np.abs(pixels["a-board"].astype(int) - 128).max() < 12


def test_archives_are_not_held_in_memory(tmp_path: Path) -> None:
    """Images from archives are on disk between the two passes; those of a tar stay in it."""
    (tmp_path / "in").mkdir()
    foreign_tar(tmp_path / "in" / "t.tar")
    frame = pd.DataFrame({"image": [encode_image(picture(i)) for i in range(20, 26)], "label": list("abcdef")})
    frame.to_parquet(tmp_path / "in" / "t.parquet")
    seen = []

    def watch(items: object, what: str, total: int | None) -> object:
        for item in items:  # type: ignore[attr-defined]
            yield item
            seen.append(getattr(item, "data", getattr(getattr(item, "found", None), "data", None)))

    make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1.0}), track=watch)  # type: ignore[arg-type]
    assert len(seen) == 24
    assert sum(data == b"" for data in seen) == sum(isinstance(data, File) for data in seen) == 12
