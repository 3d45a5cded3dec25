"""Images that say that no camera took them are no real images: in a folder, in shards, and for `shards make`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mark_helpers import drawn, of_another_tool
from shards_helpers import picture

from shards import Mark, Sample, ShardSet, UserError, mark_of, open_data, write_shard
from shards.format.images import encode_image
from shards.ingest.refuse_marked import in_words, refuse_marked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve photographs of two classes, three of which another tool made."""
    for i in range(12):
        path = tmp_path / "photos" / "ab"[i % 2] / f"p{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(picture(i)))
    for i, fmt in enumerate(("JPEG", "WEBP", "TIFF")):
        (tmp_path / "photos" / "a" / f"made{i}.{fmt.lower()}").write_bytes(of_another_tool(fmt, seed=20 + i))
    return tmp_path / "photos"


def test_the_ids_are_named(folder: Path) -> None:
    said = (
        "given as real images, but 3 of 15 images are marked as made by an algorithm (a-made0: trainedAlgorithmicMedia"
    )
    with pytest.raises(UserError, match=re.escape(said)):
        refuse_marked(open_data(folder), "real images")
    for path in folder.glob("*/made*"):
        path.unlink()
    refuse_marked(open_data(folder), "real images")


def test_phantoms_that_say_so_may_stand_for_real_images(phantom_shards: Path, tmp_path: Path) -> None:
    """Synthetic shards may not: they were given as real ones."""
    refuse_marked(open_data(phantom_shards / "test"), "real images")
    sample = Sample(id="s", origin="synthetic", label="a")
    write_shard(tmp_path, "set", 0, [(sample, drawn(1), "png")], classes=["a"])
    with pytest.raises(UserError, match="1 of 1 images are marked"):
        refuse_marked(open_data(tmp_path), "real images")


def test_a_file_that_is_gone_is_left_to_whoever_decodes_it(folder: Path) -> None:
    data = open_data(folder).where(cls="b")
    next(folder.glob("b/*.png")).unlink()
    refuse_marked(data, "real images")


def test_few_are_all_named_and_many_are_counted() -> None:
    assert "and" not in in_words({"a": "x"}, 1).partition("(")[2]
    assert in_words(dict.fromkeys("abcdefg", "x"), 9).endswith("e: x and 2 more)")


def test_no_real_set_is_made_of_marked_images(
    folder: Path, tmp_path: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    """As a synthetic set they are taken, and every image of it is marked; what a mark said before, it still says."""
    status, _, err = shards("make", folder, "--out", tmp_path / "real")
    assert status == 2
    assert "3 of 15 images are marked as made by an algorithm (a/made0.jpeg: trainedAlgorithmicMedia" in err
    assert "--exclude" in err
    assert not (tmp_path / "real" / "train").exists()
    (folder / "a" / "drawn.png").write_bytes(drawn(40))
    (folder / "b" / "part.jpg").write_bytes(of_another_tool("JPEG", "compositeWithTrainedAlgorithmicMedia", seed=50))
    words = ("--origin", "synthetic", "--generator", "gan", "--lineage", "none", "--format", "jpg")
    assert shards("make", folder, "--out", tmp_path / "made", *words)[0] == 0
    made = {sample.id: (mark_of(data), data) for sample, data in ShardSet.open(tmp_path / "made").samples()}
    assert len(made) == 17
    assert made["a-drawn"][0] == Mark("trainedAlgorithmicMedia", "", "5e" * 32)
    assert made["b-part"][0] == Mark("compositeWithTrainedAlgorithmicMedia", "")
    assert {made[key][0] for key in made if key not in ("a-drawn", "b-part")} == {Mark("trainedAlgorithmicMedia", "")}
    assert all(b'AISystemUsed="gan"' in data for _, data in made.values())
    assert shards("verify", tmp_path / "made", "--deep", "--require-marks")[0] == 0


def test_left_out_images_do_not_stand_in_the_way(
    folder: Path, tmp_path: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "out.csv").write_text("file\na/made0.jpeg\na/made1.webp\na/made2.tiff\n")
    assert shards("make", folder, "--out", tmp_path / "real", "--exclude", tmp_path / "out.csv")[0] == 0
