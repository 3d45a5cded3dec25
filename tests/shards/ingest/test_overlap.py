"""Images of one set are found in another by pixels, by perceptual hash and by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import picture

from shards import open_data
from shards.format.images import encode_image
from shards.ingest.importing import Labels, find
from shards.ingest.overlap import overlap
from shards.ingest.write.make import Splitting, make


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A first set, and a second with one of its files, one recompressed, one cropped under a known name, and others."""
    for folder in "ab":
        (tmp_path / folder).mkdir()
    for i in range(6):
        (tmp_path / "a" / f"a{i}.png").write_bytes(encode_image(picture(i)))
        (tmp_path / "b" / f"other{i}.png").write_bytes(encode_image(picture(50 + i)))
    (tmp_path / "b" / "x.png").write_bytes(encode_image(picture(1)))
    (tmp_path / "b" / "y.jpg").write_bytes(encode_image(picture(2), "jpg", 70))
    (tmp_path / "b" / "z.png").write_bytes(encode_image(picture(3)[20:50, 10:40]))
    rows = [f"other{i}.png,," for i in range(6)] + ["x.png,,", "y.jpg,,", "z.png,fitz/a3.jpg,"]
    rows = ["skincap_file_path,ori_file_path,disease", *(f"{row}wart" for row in rows)]
    (tmp_path / "b" / "skincap.csv").write_text("\n".join(rows))
    make(find(tmp_path / "b", Labels(preset="skincap")), tmp_path / "made", Splitting({"train": 1.0}))
    return tmp_path / "a", tmp_path / "made" / "train"


def test_by_the_surest_sign(two: tuple[Path, Path]) -> None:
    found = {(one.first, one.second): one.how for one in overlap(open_data(two[0]), open_data(two[1]))}
    assert found == {("a1", "x"): "same pixels", ("a2", "y"): "near", ("a3", "z"): "same name"}


def test_the_command_fails_and_lists_them(
    two: tuple[Path, Path], tmp_path: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, err = shards("overlap", *two)
    assert status == 1
    assert "a1\tx\tsame pixels\t0" in out
    assert "3 images of" in err
    assert shards("overlap", *two, "--out", tmp_path / "pairs.csv")[0] == 1
    assert (tmp_path / "pairs.csv").read_text().count("\n") == 4
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "c.png").write_bytes(encode_image(picture(99)))
    status, out, _ = shards("overlap", two[0], tmp_path / "c")
    assert (status, "share no image" in out) == (0, True)
