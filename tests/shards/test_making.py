"""Real data in: every layout, duplicates, splits that nothing crosses, and what was dropped."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from shards_helpers import noise

from shards import ShardSet, UserError, open_data
from shards.dedupe import near_pairs, perceptual_hash, split_clusters
from shards.images import encode_image
from shards.importing import find
from shards.making import make, upright

SHARES = {"train": 0.5, "validation": 0.25, "test": 0.25}


def picture(seed: int, size: int = 64) -> np.ndarray:
    """A smooth picture, as a photograph is."""
    small = Image.fromarray(noise(seed, 8))
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))


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
    rows += [("copy.png", "a", "1", "x1", ""), ("near.jpg", "b", "1", "x2", "m"), ("torn.png", "a", "1", "x3", ""),
             ("lost.png", "a", "1", "x4", "")]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def test_folder_with_a_table(photos: Path, tmp_path: Path) -> None:
    """Copies go, near copies and patients stay together, no cluster crosses a split, and the list says why."""
    made = make(find(photos, None, None, {}), tmp_path / "out", shares=SHARES, seed=1)
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
    made = make(find(tmp_path / "in", None, None, {}), tmp_path / "out", shares={"train": 1.0})
    assert sorted(made.written.items()) == [("train", 2)]
    assert {why for _, why in made.dropped} == {"same pixels under a and b"}


def test_named_splits_are_kept(tmp_path: Path) -> None:
    """A copy of a test image leaves the training set, not the other way round."""
    for split, seeds in (("train", (1, 2)), ("test", (2, 3))):
        (tmp_path / "in" / split / "a").mkdir(parents=True)
        for seed in seeds:
            fmt = "jpg" if split == "test" else "png"
            (tmp_path / "in" / split / "a" / f"{split}{seed}.{fmt}").write_bytes(encode_image(picture(seed), fmt))
    made = make(find(tmp_path / "in", None, None, {}), tmp_path / "out", shares={"train": 1.0})
    assert made.written == {"train": 1, "test": 2}
    assert made.dropped[0][0] == "train-a-train2"


def metadata(path: Path, lines: list[dict[str, object]]) -> None:
    """Hugging Face's table of that name, in the format that its suffix says."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    elif path.suffix == ".csv":
        pd.DataFrame(lines).to_csv(path, index=False)
    else:
        pd.DataFrame(lines).to_parquet(path, index=False)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_metadata_of_hugging_face(tmp_path: Path, suffix: str) -> None:
    """ImageFolder: `file_name` from the table's own folder, one a split; the same names in two splits are two images.

    `datasets` itself reads the same folder to the same rows.
    """
    datasets = pytest.importorskip("datasets")
    for split, seeds in (("train", (1, 2)), ("test", (3, 4))):
        folder = tmp_path / "in" / split
        (folder / "sub").mkdir(parents=True)
        for place, seed in zip(("0.png", "sub/1.png"), seeds, strict=True):
            (folder / place).write_bytes(encode_image(picture(seed)))
        metadata(folder / f"metadata{suffix}", [
            {"file_name": "0.png", "label": "nevus", "fitzpatrick": 2, "patient_id": f"{split}1", "note": "a\u2028b"},
            {"file_name": "sub/1.png", "label": "wart", "fitzpatrick": 6, "patient_id": f"{split}2", "note": None}])
    made = make(find(tmp_path / "in", None, None, {}), tmp_path / "out", shares={"train": 1.0})
    assert (made.written, made.dropped) == ({"train": 2, "test": 2}, [])
    theirs = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "in"), cache_dir=str(tmp_path / "cache"))
    for split in ("train", "test"):
        data = ShardSet.open(tmp_path / "out" / split)
        assert list(data.rows["id"]) == [f"{split}-0", f"{split}-sub-1"]
        assert list(data.rows["group"]) == ["2", "6"]
        assert [a.get("note") for a in data.rows["attributes"]] == ["a\u2028b", None]
        rows = sorted(theirs[split], key=lambda row: str(row["label"]))
        assert [row["label"] for row in rows] == list(data.rows["class"])
        for row, (_, image) in zip(rows, data.images(), strict=True):
            np.testing.assert_array_equal(np.asarray(row["image"]), image)


def test_metadata_without_classes_takes_the_folders(tmp_path: Path) -> None:
    """One table at the top, the classes in the folders' names, and images that it does not list are listed as left out.
    """
    for i, name in enumerate(("a/0.png", "b/0.png", "b/1.png", "b/extra.png", "loose.png")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(encode_image(picture(i)))
    metadata(tmp_path / "in" / "metadata.jsonl", [
        {"file_name": "a/0.png", "boxes": [[1, 2]]}, {"file_name": "b/0.png"}, {"file_name": "b/1.png"},
        {"file_name": "gone.png"}, {"file_name": "../out.png"}, {"file_name": "loose.png"}, {"text": "no name"}])
    made = make(find(tmp_path / "in", None, None, {}), tmp_path / "out", shares={"train": 1.0})
    rows = ShardSet.open(tmp_path / "out" / "train").rows
    assert list(zip(rows["id"], rows["class"], strict=True)) == [("a-0", "a"), ("b-0", "b"), ("b-1", "b")]
    assert rows["attributes"][0] == {"boxes": "[[1, 2]]"}
    why = dict(made.dropped)
    assert why["b/extra.png"].endswith("metadata.jsonl does not list it")
    assert "no such image file" in why["gone"]
    assert "no such image file" in why["unnamed"]
    assert "leads out of" in why["out"]
    assert why["loose"] == "has no class"


@pytest.mark.parametrize(("content", "message"), [
    ('{"file_name": "0.png", "label": "a"}\n{"file_name": ', r"metadata\.jsonl, line 2: .*expected a JSON object"),
    ('["0.png"]\n', r"metadata\.jsonl, line 1: \[\"0\.png\"\]; expected a JSON object"),
    ('{"image_name": "0.png"}\n', r"has no column file_name \(it has image_name\)"),
    ("", r"has no column file_name \(it has no rows\)"),
    (b"\xff\xfe", "cannot read the table"),
])
def test_metadata_that_cannot_be_read(tmp_path: Path, content: str | bytes, message: str) -> None:
    """Named with the line; the folder's other names are not taken instead."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(encode_image(picture(0)))
    (tmp_path / "metadata.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        list(find(tmp_path, None, None, {}))


def test_two_tables_and_columns_without_a_table(tmp_path: Path) -> None:
    """Which table is meant must be said, and a column that is asked for must be found: nothing is guessed."""
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "0.png").write_bytes(encode_image(picture(0)))
    with pytest.raises(UserError, match=r"no table in .* in a column 'pic'; name the table with --table"):
        list(find(tmp_path / "in", None, None, {"file": "pic"}))
    for suffix in (".csv", ".jsonl"):
        metadata(tmp_path / "in" / f"metadata{suffix}", [{"file_name": "a/0.png", "label": "x"}])
    with pytest.raises(UserError, match=r"several tables \(metadata\.csv, metadata\.jsonl\); name the one"):
        list(find(tmp_path / "in", None, None, {}))
    (found,) = find(tmp_path / "in", tmp_path / "in" / "metadata.jsonl", None, {})
    assert found.facts["class"] == "x"


def test_presets_keep_both_raters(tmp_path: Path) -> None:
    """Fitzpatrick17k: the scale's type is the group, the other rating an attribute; -1 is unknown."""
    folder = tmp_path / "f17k"
    folder.mkdir()
    lines = ["md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,url"]
    for i in range(4):
        (folder / f"h{i}.jpg").write_bytes(encode_image(picture(i), "jpg"))
        lines.append(f"h{i},{i if i else -1},{i + 1},psoriasis,http://x/{i}")
    (folder / "fitzpatrick17k.csv").write_text("\n".join(lines))
    make(find(folder, None, "fitzpatrick17k", {}), tmp_path / "out", shares={"train": 1.0})
    rows = ShardSet.open(tmp_path / "out" / "train").rows
    assert list(rows["group"]) == [None, "1", "2", "3"]
    assert [a["fst_b"] for a in rows["attributes"]] == ["1", "2", "3", "4"]


def test_webdataset_and_hugging_face(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    """Shards of other tools and parquet with images come in with their labels."""
    datasets = pytest.importorskip("datasets")
    folder = make_shards(6, size=32)
    made = make(find(folder, None, None, {}), tmp_path / "a", shares={"train": 1.0})
    assert made.written == {"train": 6}
    assert ShardSet.open(tmp_path / "a" / "train").classes == ["macule", "nodule"]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])})
    table = datasets.Dataset.from_dict(
        {"image": [{"bytes": encode_image(picture(i)), "path": None} for i in range(4)], "label": [0, 1, 0, 1]},
        features=features)
    (tmp_path / "hf").mkdir()
    table.to_parquet(tmp_path / "hf" / "train-00000.parquet")
    table.save_to_disk(tmp_path / "disk")
    for source, out in (("hf", "b"), ("disk", "c")):
        make(find(tmp_path / source, None, None, {}), tmp_path / out, shares={"train": 1.0})
        assert sorted(ShardSet.open(tmp_path / out / "train").rows["class"]) == ["x", "x", "y", "y"]


def test_camera_orientation(tmp_path: Path) -> None:
    """An image that lies on its side by EXIF is stood up."""
    image = Image.fromarray(picture(1)[:, :40])
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    assert upright((tmp_path / "x.jpg").read_bytes()).shape == (40, 64, 3)


def test_hashes_survive_recoding_and_part_others() -> None:
    from shards.images import decode_image

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


def foreign_tar(path: Path, folders: bool = False) -> list[str]:
    """Six samples as webdataset's own writer makes them; their names."""
    wds = pytest.importorskip("webdataset")
    names = [f"{'ab'[i % 2]}/x{i // 2}" if folders else f"x{i}" for i in range(6)]
    with wds.TarWriter(str(path)) as writer:
        for i, name in enumerate(names):
            writer.write({"__key__": name, "png": encode_image(picture(i)), "cls": str(i % 2).encode()})
    return names


def imported(folder: Path) -> list[str]:
    return [f.name for f in find(folder, None, None, {})]


def test_torn_tars_are_named(tmp_path: Path) -> None:
    """Cut at any block, a tar of another tool is refused; webdataset and tarfile read fewer without a word."""
    names = foreign_tar(tmp_path / "t.tar")
    assert imported(tmp_path) == names
    whole = (tmp_path / "t.tar").read_bytes()
    end = len(whole.rstrip(b"\0"))  # behind it, only the padding of the last member and the end mark
    for size in range(0, len(whole) - 512, 512):
        (tmp_path / "t.tar").write_bytes(whole[:size])
        if size < end + 512:
            with pytest.raises(UserError, match=r"t\.tar is not a whole tar"):
                imported(tmp_path)


def test_flipped_headers_of_tars_are_named(tmp_path: Path) -> None:
    """A bad header ends no tar early: it is refused, with the place."""
    foreign_tar(tmp_path / "t.tar")
    content = bytearray((tmp_path / "t.tar").read_bytes())
    headers = [at for at in range(0, len(content), 512) if content[at + 257 : at + 262] == b"ustar"]
    for at in headers:
        content[at + 3] ^= 4
        (tmp_path / "t.tar").write_bytes(content)
        with pytest.raises(UserError, match=r"t\.tar is not a whole tar"):
            imported(tmp_path)
        content[at + 3] ^= 4


def test_tars_with_folders_keep_their_samples_apart(tmp_path: Path) -> None:
    """a/x0 and b/x0 are two samples, as for webdataset."""
    (tmp_path / "in").mkdir()
    foreign_tar(tmp_path / "in" / "t.tar", folders=True)
    made = make(find(tmp_path / "in", None, None, {}), tmp_path / "out", shares={"train": 1.0})
    assert made.written == {"train": 6}
    assert set(ShardSet.open(tmp_path / "out" / "train").rows["id"]) == {f"{c}-x{i}" for c in "ab" for i in range(3)}


def test_hostile_members_of_tars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickles are not looked at, names with `..` are only names, enormous members are dropped by name."""
    import io
    import tarfile

    monkeypatch.setattr("shards.importing.MAX_BYTES", 100_000)
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "t.tar", "w") as archive:
        for name, content in (("../../x1.png", encode_image(picture(1))), ("../../x1.cls", b"0"),
                              ("y.pyd", b"cbuiltins"),
                              ("y.png", encode_image(picture(2))), ("y.cls", b"0"), ("z.png", bytes(100_001)),
                              ("z.cls", b"0"), ("w.cls", b"0")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    made = make(find(tmp_path / "in", None, None, {}), tmp_path / "out", shares={"train": 1.0})
    assert list(ShardSet.open(tmp_path / "out" / "train").rows["id"]) == ["x1", "y"]
    why = dict(made.dropped)
    assert "its png says it has 100001 bytes" in why["z"]
    assert "no image among its members" in why["w"]


def test_synthetic_shards_are_not_made_real(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    """What says that it is synthetic is refused, what says that it is a phantom stays one."""
    with pytest.raises(UserError, match=r"says that it is synthetic.*shards select"):
        imported(make_shards(4, origin="synthetic"))
    make(find(make_shards(4, size=32), None, None, {}), tmp_path / "out", shares={"train": 1.0})
    assert set(ShardSet.open(tmp_path / "out" / "train").rows["origin"]) == {"phantom"}


def test_names_in_tables(tmp_path: Path) -> None:
    """A name that two files have, or that leads out of the folder, is dropped with the reason, not guessed."""
    folder = tmp_path / "in"
    for i, part in enumerate("ab"):
        (folder / part).mkdir(parents=True)
        (folder / part / "same.png").write_bytes(encode_image(picture(i)))
    (tmp_path / "out.png").write_bytes(encode_image(picture(5)))
    lines = ["file,class", "same.png,x", "../out.png,x", f"{tmp_path}/out.png,x", "a/same.png,x"]
    (folder / "table.csv").write_text("\n".join(lines))
    made = make(find(folder, None, None, {}), tmp_path / "made", shares={"train": 1.0})
    assert made.written == {"train": 1}
    assert "give the path from" in dict(made.dropped)["same"]
    assert "leads out of" in dict(made.dropped)["out"]
    with pytest.raises(UserError, match="may be"):
        open_data(folder)


@pytest.mark.parametrize(("preset", "table", "expected"), [
    ("ddi", "DDI_ID,DDI_file,skin_tone,malignant,disease\n1,000001.png,12,True,melanoma-in-situ\n",
     ("melanoma-in-situ", "12", None, {"DDI_ID": "1", "malignant": "True"})),
    ("pad-ufes-20", "patient_id,lesion_id,img_id,fitspatrick,diagnostic,age\nPAT_8,9,000001.png,3.0,NEV,8\n",
     ("NEV", "3", "PAT_8", {"lesion_id": "9", "age": "8"})),
])
def test_presets_of_other_data_sets(
    tmp_path: Path, preset: str, table: str, expected: tuple[str, str, str | None, dict[str, str]]
) -> None:
    """DDI's and PAD-UFES-20's own columns: class, skin type, patient, and the rest as attributes."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "000001.png").write_bytes(encode_image(picture(1)))
    (tmp_path / "in" / "metadata.csv").write_text(table)
    make(find(tmp_path / "in", None, preset, {}), tmp_path / "out", shares={"train": 1.0})
    sample, _ = ShardSet.open(tmp_path / "out" / "train").at(0)
    label, group, cluster, attributes = expected
    assert (sample.label, sample.group, sample.attributes) == (label, group, attributes)
    assert sample.cluster == cluster or cluster is None
    assert sample.origin == "real"


def test_one_codec_and_reduced_with_antialiasing(tmp_path: Path) -> None:
    """JPEG and PNG in, one codec out; a checkerboard that is halved becomes grey, not a pattern."""
    (tmp_path / "in" / "a").mkdir(parents=True)
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    (tmp_path / "in" / "a" / "board.png").write_bytes(encode_image(board))
    (tmp_path / "in" / "a" / "photo.jpg").write_bytes(encode_image(picture(1), "jpg"))
    (tmp_path / "in" / "a" / "small.png").write_bytes(encode_image(picture(2, 16)))
    make(find(tmp_path / "in", None, None, {}), tmp_path / "out", shares={"train": 1.0}, size=32, fmt="webp")
    data = ShardSet.open(tmp_path / "out" / "train")
    assert {data.row(i).ext for i in range(data.n)} == {"webp"}
    pixels = {sample.id: image for sample, image in data.images()}
    assert {key: image.shape[0] for key, image in pixels.items()} == {"a-board": 32, "a-photo": 32, "a-small": 16}
    assert np.abs(pixels["a-board"].astype(int) - 128).max() < 12


def test_archives_are_not_held_in_memory(tmp_path: Path) -> None:
    """Bytes of images from archives wait on disk between the two passes."""
    (tmp_path / "in").mkdir()
    foreign_tar(tmp_path / "in" / "t.tar")
    seen = []

    def watch(items: object, what: str, total: int | None) -> object:
        for item in items:  # type: ignore[attr-defined]
            yield item
            seen.append(getattr(item, "data", getattr(getattr(item, "found", None), "data", None)))

    make(find(tmp_path / "in", None, None, {}), tmp_path / "out", shares={"train": 1.0}, track=watch)  # type: ignore[arg-type]
    assert len(seen) == 12
    assert set(seen) == {b""}
