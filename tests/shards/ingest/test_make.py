"""Real data in: duplicates, splits that nothing crosses, and what was dropped."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shards_helpers import picture

from shards import ShardSet, UserError, open_data
from shards.format.images import encode_image
from shards.ingest.dedupe import near_pairs, perceptual_hash, split_clusters
from shards.ingest.importing import find
from shards.ingest.make import Encoding, Splitting, make, upright

SHARES = {"train": 0.5, "validation": 0.25, "test": 0.25}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """40 photos of 20 patients, an exact copy, a recoded copy, a torn file, a missing one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = [("file", "diagnosis", "fitzpatrick", "patient_id", "sex")]
    for i in range(40):
        (folder / f"p{i:02d}.png").write_bytes(encode_image(picture(i)))
        rows.append((f"p{i:02d}.png", "ab"[i % 2], str(1 + i % 3), f"pat{i // 2}", "f"))
    (folder / "copy.png").write_bytes((folder / "p00.png").read_bytes())
    (folder / "near.jpg").write_bytes(encode_image(picture(3), "jpg", 80))
    (folder / "torn.png").write_bytes((folder / "p01.png").read_bytes()[:200])
    rows += [
        ("copy.png", "a", "1", "x1", ""),
        ("near.jpg", "b", "1", "x2", "m"),
        ("torn.png", "a", "1", "x3", ""),
        ("lost.png", "a", "1", "x4", ""),
    ]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def test_folder_with_a_table(photos: Path, tmp_path: Path) -> None:
    """Copies go, near copies and patients stay together, no cluster crosses a split, and the list says why."""
    made = make(find(photos, None, None, {}), tmp_path / "out", Splitting(SHARES, seed=1))
    assert sum(made.written.values()) == 41
    why = dict(made.dropped)
    assert why["copy"] == "same pixels as p00"
    assert "broken" in why["torn"]
    assert "no such image" in why["lost"]
    sets = {split: ShardSet.open(tmp_path / "out" / split) for split in made.written}
    clusters = [set(data.rows["cluster"]) for data in sets.values()]
    assert sum(map(len, clusters)) == len(set.union(*clusters)) == 20
    rows = {row.id: row for data in sets.values() for row in data.rows.itertuples()}
    assert rows["near"].cluster == rows["p03"].cluster
    assert rows["p05"].attributes == {"sex": "f"}
    assert {row.origin for row in rows.values()} == {"real"}
    assert len(list(csv.reader((tmp_path / "out" / "_dropped.csv").open()))) == 4
    assert all(abs(made.written[s] / 41 - share) < 0.08 for s, share in SHARES.items())


def test_same_pixels_under_two_names_are_dropped(tmp_path: Path) -> None:
    """A picture with two diagnoses teaches neither."""
    for label, seeds in (("a", (1, 2)), ("b", (1, 3))):
        (tmp_path / "in" / label).mkdir(parents=True)
        for seed in seeds:
            (tmp_path / "in" / label / f"{label}{seed}.png").write_bytes(encode_image(picture(seed)))
    made = make(find(tmp_path / "in", None, None, {}), tmp_path / "out", Splitting({"train": 1.0}))
    assert sorted(made.written.items()) == [("train", 2)]
    assert {why for _, why in made.dropped} == {"same pixels under a and b"}


def test_named_splits_are_kept(tmp_path: Path) -> None:
    """A copy of a test image leaves the training set, not the other way round."""
    for split, seeds in (("train", (1, 2)), ("test", (2, 3))):
        (tmp_path / "in" / split / "a").mkdir(parents=True)
        for seed in seeds:
            fmt = "jpg" if split == "test" else "png"
            (tmp_path / "in" / split / "a" / f"{split}{seed}.{fmt}").write_bytes(encode_image(picture(seed), fmt))
    made = make(find(tmp_path / "in", None, None, {}), tmp_path / "out", Splitting({"train": 1.0}))
    assert made.written == {"train": 1, "test": 2}
    assert made.dropped[0][0] == "train-a-train2"


def test_of_equal_pixels_the_test_image_stays(tmp_path: Path) -> None:
    """The same file in both parts: what is tested on must not be what goes."""
    for split, seeds in (("train", (1, 2)), ("test", (2, 3))):
        (tmp_path / "in" / split / "a").mkdir(parents=True)
        for seed in seeds:
            (tmp_path / "in" / split / "a" / f"{split}{seed}.png").write_bytes(encode_image(picture(seed)))
    made = make(find(tmp_path / "in", None, None, {}), tmp_path / "out", Splitting({"train": 1.0}))
    assert made.written == {"train": 1, "test": 2}
    assert made.dropped == [("train-a-train2", "same pixels as test-a-test2")]


def test_a_patient_of_many_images_leaves_the_shares_as_they_are() -> None:
    """Large clusters are placed first: a fifth of a class in one cluster, and still every share within one image."""
    clusters = ["patient"] * 20 + [f"c{i}" for i in range(80)]
    for seed in range(10):
        split = split_clusters(clusters, ["a"] * 100, SHARES, seed)
        assert len(set(split[:20])) == 1
        assert all(abs(split.count(name) - 100 * share) <= 1 for name, share in SHARES.items())


def test_camera_orientation(tmp_path: Path) -> None:
    """An image that lies on its side by EXIF is stood up."""
    image = Image.fromarray(picture(1)[:, :40])
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    assert upright((tmp_path / "x.jpg").read_bytes()).shape == (40, 64, 3)


def test_hashes_survive_recoding_and_part_others() -> None:
    from shards.format.images import decode_image

    hashes = [perceptual_hash(picture(i, 128)) for i in range(20)]
    hashes.append(perceptual_hash(decode_image(encode_image(picture(4, 128), "jpg", 60))))
    hashes.append(perceptual_hash(picture(7, 90)))
    assert near_pairs(np.stack(hashes)) == [(4, 20), (7, 21)]


def test_split_is_stratified_and_seeded() -> None:
    """Every stratum is shared out to within one, whatever the order."""
    clusters, strata = [f"c{i}" for i in range(200)], [f"{i % 4}" for i in range(200)]
    one = split_clusters(clusters, strata, SHARES, seed=1)
    assert one == split_clusters(clusters, strata, SHARES, seed=1)
    assert one != split_clusters(clusters, strata, SHARES, seed=2)
    for stratum in "0123":
        mine = [s for s, t in zip(one, strata, strict=True) if t == stratum]
        assert all(abs(mine.count(split) - 50 * share) <= 1 for split, share in SHARES.items())


def test_plain_folder_reads_like_shards(photos: Path) -> None:
    """`open_data` gives the same interface; a table that names lost files is refused."""
    with pytest.raises(UserError, match=r"names 1 files that are not in .*lost.png"):
        open_data(photos)
    text = (photos / "labels.csv").read_text().splitlines()
    (photos / "labels.csv").write_text("\n".join(line for line in text if "lost" not in line and "torn" not in line))
    data = open_data(photos)
    assert data.where(cls="a", group="1").n > 0
    sample, image = next(iter(data.images()))
    assert sample.attributes == {} or sample.attributes == {"sex": "f"}
    assert image.shape == (64, 64, 3)


def test_one_codec_and_reduced_with_antialiasing(tmp_path: Path) -> None:
    """JPEG and PNG in, one codec out; a checkerboard that is halved becomes grey, not a pattern."""
    (tmp_path / "in" / "a").mkdir(parents=True)
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    (tmp_path / "in" / "a" / "board.png").write_bytes(encode_image(board))
    (tmp_path / "in" / "a" / "photo.jpg").write_bytes(encode_image(picture(1), "jpg"))
    (tmp_path / "in" / "a" / "small.png").write_bytes(encode_image(picture(2, 16)))
    make(find(tmp_path / "in", None, None, {}), tmp_path / "out", Splitting({"train": 1.0}), Encoding(32, "webp"))
    data = ShardSet.open(tmp_path / "out" / "train")
    assert {data.row(i).ext for i in range(data.n)} == {"webp"}
    pixels = {sample.id: image for sample, image in data.images()}
    assert {key: image.shape[0] for key, image in pixels.items()} == {"a-board": 32, "a-photo": 32, "a-small": 16}
    assert np.abs(pixels["a-board"].astype(int) - 128).max() < 12
