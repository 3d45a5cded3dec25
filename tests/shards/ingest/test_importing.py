"""The layouts of real data: tables, presets, those of Hugging Face, and archives of other tools, whole or torn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import webdataset as wds
from shards_helpers import foreign_tar, metadata, picture

from shards import ShardSet, UserError
from shards.format.images import encode_image
from shards.ingest.importing import Labels, find
from shards.ingest.write.make import Splitting, make


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_metadata_of_hugging_face(tmp_path: Path, suffix: str) -> None:
    """ImageFolder: one table per split, with `file_name` relative to it; equal names in two splits are two images.

    `datasets` itself reads the same folder to the same rows.
    """
    datasets = pytest.importorskip("datasets")
    for split, seeds in (("train", (1, 2)), ("test", (3, 4))):
        folder = tmp_path / "in" / split
        (folder / "sub").mkdir(parents=True)
        for place, seed in zip(("0.png", "sub/1.png"), seeds, strict=True):
            (folder / place).write_bytes(encode_image(picture(seed)))
        metadata(
            folder / f"metadata{suffix}",
            [
                {
                    "file_name": "0.png",
                    "label": "nevus",
                    "fitzpatrick": 2,
                    "patient_id": f"{split}1",
                    "note": "a\u2028b",
                },
                {"file_name": "sub/1.png", "label": "wart", "fitzpatrick": 6, "patient_id": f"{split}2", "note": None},
            ],
        )
    made = make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1.0}))
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
    """Classes come from the folders; images that the table does not list are reported as dropped."""
    for i, name in enumerate(("a/0.png", "b/0.png", "b/1.png", "b/extra.png", "loose.png")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(encode_image(picture(i)))
    metadata(
        tmp_path / "in" / "metadata.jsonl",
        [
            {"file_name": "a/0.png", "boxes": [[1, 2]]},
            {"file_name": "b/0.png"},
            {"file_name": "b/1.png"},
            {"file_name": "gone.png"},
            {"file_name": "../out.png"},
            {"file_name": "loose.png"},
            {"text": "no name"},
        ],
    )
    made = make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1.0}))
    rows = ShardSet.open(tmp_path / "out" / "train").rows
    assert list(zip(rows["id"], rows["class"], strict=True)) == [("a-0", "a"), ("b-0", "b"), ("b-1", "b")]
    assert rows["attributes"][0] == {"boxes": "[[1, 2]]"}
    why = dict(made.dropped)
    assert why["b/extra.png"].endswith("metadata.jsonl does not list it")
    assert "no such image file" in why["gone.png"]
    assert "no such image file" in why["a row without a file name"]
    assert "points outside" in why["../out.png"]
    assert why["loose.png"] == "has no class"


def test_presets_keep_both_raters(tmp_path: Path) -> None:
    """Fitzpatrick17k: the scale's type is the group, the other rating an attribute; -1 is unknown."""
    folder = tmp_path / "f17k"
    folder.mkdir()
    lines = ["md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,url"]
    for i in range(4):
        (folder / f"h{i}.jpg").write_bytes(encode_image(picture(i), "jpg"))
        lines.append(f"h{i},{i if i else -1},{i + 1 if i < 3 else -1},psoriasis,http://x/{i}")
    (folder / "fitzpatrick17k.csv").write_text("\n".join(lines))
    make(find(folder, Labels(preset="fitzpatrick17k")), tmp_path / "out", Splitting({"train": 1.0}))
    rows = ShardSet.open(tmp_path / "out" / "train").rows
    assert list(rows["group"]) == [None, "1", "2", "3"]
    assert [a.get("fst_b") for a in rows["attributes"]] == ["1", "2", "3", None]


def test_webdataset_and_hugging_face(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    """Shards of other tools and parquet files with images are imported with their labels."""
    datasets = pytest.importorskip("datasets")
    folder = make_shards(6, size=32)
    made = make(find(folder), tmp_path / "a", Splitting({"train": 1.0}))
    assert made.written == {"train": 6}
    assert ShardSet.open(tmp_path / "a" / "train").classes == ["macule", "nodule"]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])})
    table = datasets.Dataset.from_dict(
        {"image": [{"bytes": encode_image(picture(i)), "path": None} for i in range(4)], "label": [0, 1, 0, 1]},
        features=features,
    )
    (tmp_path / "hf").mkdir()
    table.to_parquet(tmp_path / "hf" / "train-00000.parquet")
    table.save_to_disk(tmp_path / "disk")
    for source, out in (("hf", "b"), ("disk", "c")):
        make(find(tmp_path / source), tmp_path / out, Splitting({"train": 1.0}))
        assert sorted(ShardSet.open(tmp_path / out / "train").rows["class"]) == ["x", "x", "y", "y"]


def imported(folder: Path) -> list[str]:
    return [f.name for f in find(folder)]


def test_torn_tars_are_named(tmp_path: Path) -> None:
    """A tar truncated at any block is refused; webdataset and tarfile would silently read fewer samples."""
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
    """A tar with a bad header is refused, with the position."""
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
    """a/x0 and b/x0 are two samples, as in webdataset."""
    (tmp_path / "in").mkdir()
    foreign_tar(tmp_path / "in" / "t.tar", folders=True)
    made = make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1.0}))
    assert made.written == {"train": 6}
    assert set(ShardSet.open(tmp_path / "out" / "train").rows["id"]) == {f"{c}-x{i}" for c in "ab" for i in range(3)}


def test_hostile_members_of_tars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickles are ignored, names with `..` are only names, and enormous members are reported as dropped."""
    import io
    import tarfile

    monkeypatch.setattr("shards.ingest.files.walk.MAX_BYTES", 100_000)
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "t.tar", "w") as archive:
        for name, content in (
            ("../../x1.png", encode_image(picture(1))),
            ("../../x1.cls", b"0"),
            ("y.pyd", b"cbuiltins"),
            ("y.png", encode_image(picture(2))),
            ("y.cls", b"0"),
            ("z.png", bytes(100_001)),
            ("z.cls", b"0"),
            ("w.cls", b"0"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    made = make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1.0}))
    assert list(ShardSet.open(tmp_path / "out" / "train").rows["id"]) == ["x1", "y"]
    why = dict(made.dropped)
    assert "it has 100001 bytes" in why["t.tar/z"]
    assert "no image among its members" in why["t.tar/w"]


def test_synthetic_shards_are_not_made_real(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    """Synthetic images are refused; phantoms stay phantoms."""
    with pytest.raises(UserError, match=r"is synthetic.*shards select"):
        imported(make_shards(4, origin="synthetic"))
    make(find(make_shards(4, size=32)), tmp_path / "out", Splitting({"train": 1.0}))
    assert set(ShardSet.open(tmp_path / "out" / "train").rows["origin"]) == {"phantom"}


@pytest.mark.parametrize(
    ("preset", "table", "expected"),
    [
        (
            "ddi",
            "DDI_ID,DDI_file,skin_tone,malignant,disease\n1,000001.png,12,True,melanoma-in-situ\n",
            ("melanoma-in-situ", "1-2", None, {"DDI_ID": "1", "malignant": "True"}),
        ),
        (
            "pad-ufes-20",
            "patient_id,lesion_id,img_id,fitspatrick,diagnostic,age\nPAT_8,9,000001.png,3.0,NEV,8\n",
            ("NEV", "3", "PAT_8", {"lesion_id": "9", "age": "8"}),
        ),
    ],
)
def test_presets_of_other_data_sets(
    tmp_path: Path, preset: str, table: str, expected: tuple[str, str, str | None, dict[str, str]]
) -> None:
    """DDI's and PAD-UFES-20's own columns: class, skin type, patient, and the rest as attributes."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "000001.png").write_bytes(encode_image(picture(1)))
    (tmp_path / "in" / "metadata.csv").write_text(table)
    make(find(tmp_path / "in", Labels(preset=preset)), tmp_path / "out", Splitting({"train": 1.0}))
    sample, _ = ShardSet.open(tmp_path / "out" / "train").at(0)
    label, group, cluster, attributes = expected
    assert (sample.label, sample.group, sample.attributes) == (label, group, attributes)
    assert sample.cluster == cluster or cluster is None
    assert sample.origin == "real"


def test_skin_types_of_tars_and_parquet_files_are_written_as_those_of_tables(tmp_path: Path) -> None:
    """All files together tell the scale: one tar holds the pair 12 only."""
    for tar, words in (("a", ["12"]), ("b", ["34", "56"])):
        with wds.TarWriter(str(tmp_path / f"{tar}.tar")) as writer:
            for i, word in enumerate(words):
                sample = {"class": "nevus", "fitzpatrick": word, "diabetes": "type 2 diabetes"}
                key = f"{tar}{i}"
                writer.write({"__key__": key, "png": encode_image(picture(i)), "json": json.dumps(sample).encode()})
    found = find(tmp_path)
    assert [one.facts["group"] for one in found] == ["1-2", "3-4", "5-6"]
    assert found.notes == [
        "skin types of a.tar and b.tar, column fitzpatrick: 12 is 1-2 (1), 34 is 3-4 (1), 56 is 5-6 (1)"
    ]
    frame = pd.DataFrame({"image": [{"bytes": encode_image(picture(0)), "path": "a.png"}] * 3})
    frame = frame.assign(label="nevus", skin_type=["IV", "FST 2", "NA"])
    frame.to_parquet(tmp_path / "c.parquet")
    held = find(tmp_path / "c.parquet")
    assert [one.facts["group"] for one in held] == ["4", "2", None]
    assert held.notes == ["skin types of c.parquet, column skin_type: FST 2 is 2 (1), IV is 4 (1)"]


def photographs(folder: Path, places: list[str]) -> Path:
    for i, place in enumerate(places):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(encode_image(picture(i)))
    return folder


def test_folders_above_the_classes_that_are_not_used_are_said(tmp_path: Path) -> None:
    """A folder a patient within each class would make patients classes."""
    two = photographs(tmp_path / "two", ["nevus/p1/a.png", "nevus/p2/a.png", "mel/p1/a.png", "mel/p3/a.png"])
    assert find(two).notes == [
        "the innermost folders name the classes (p1, p2, p3); those above them are not used (mel, nevus)"
    ]
    for name, places in {
        "wrapped": ["images/nevus/a.png", "images/mel/a.png"],
        "split": ["train/nevus/a.png", "test/nevus/b.png", "train/mel/a.png"],
        "plain": ["nevus/a.png", "mel/a.png"],
    }.items():
        assert find(photographs(tmp_path / name, places)).notes == []


def test_a_table_of_a_kind_that_is_not_read_is_named(tmp_path: Path) -> None:
    """Folders name no classes while a table lies there."""
    photographs(tmp_path / "in", ["HAM_part_1/a.png", "HAM_part_2/b.png"])
    (tmp_path / "in" / "labels.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(
        UserError, match=r"labels\.xls: XLS is not read as a table; save it as CSV, or take the classes"
    ):
        find(tmp_path / "in")
    assert len(list(find(tmp_path / "in", Labels(from_folders=True)))) == 2


def test_classes_that_differ_in_case_only_are_said(tmp_path: Path) -> None:
    photographs(tmp_path / "in", ["Nevus/a.png", "nevus/b.png", "mel/c.png"])
    made = make(find(tmp_path / "in"), tmp_path / "out", Splitting({"train": 1}))
    assert "'Nevus' and 'nevus' are taken for two classes; if they are one, write them alike" in made.notes


def test_a_folder_whose_name_says_nothing_is_no_class(tmp_path: Path) -> None:
    """The words that are missing in a table are missing as folders too."""
    found = list(find(photographs(tmp_path, ["unknown/a.png", "-1/b.png", "None/c.png", "nevus/d.png"])))
    assert {one.place: (one.facts["class"], one.problem) for one in found} == {
        "unknown/a.png": (None, "its folder 'unknown' names no class"),
        "-1/b.png": (None, "its folder '-1' names no class"),
        "None/c.png": (None, "its folder 'None' names no class"),
        "nevus/d.png": ("nevus", ""),
    }


def test_a_table_for_each_split_is_a_part_of_one(tmp_path: Path) -> None:
    photographs(tmp_path, [f"images/i{i}.png" for i in range(6)])
    for name, numbers in {"train": (0, 1, 2), "Val_labels": (3,), "test": (4, 5, 0)}.items():
        rows = [f"images/i{i}.png,{'nevus' if i % 2 else 'mel'}" for i in numbers]
        (tmp_path / f"{name}.csv").write_text("\n".join(["file,label", *rows]))
    found = find(tmp_path)
    images = {one.place: one.facts["split"] for one in found if one.data is not None and not one.problem}
    assert images == {f"images/i{i}.png": split for i, split in ((1, "train"), (2, "train"), (3, "validation"))} | {
        "images/i4.png": "test",
        "images/i5.png": "test",
    }
    assert found.notes == ["Val_labels.csv, test.csv, train.csv are the tables of the splits"]
    assert {why for _, why in found.passed_over} == {"read: it describes the images"}
    assert any("say different things of it" in one.problem for one in find(tmp_path))  # i0 is in two splits
    (tmp_path / "other.csv").write_text("file,label\nimages/i1.png,mel")
    with pytest.raises(UserError, match=r"several tables .*; name the one to use, or write one with all rows"):
        find(tmp_path)
