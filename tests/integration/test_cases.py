"""Inputs on which the importer failed once, where they are there; the README.md of each says what is right."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards import ShardSet
from shards.cli import PROGRAM

SHARED = Path(os.environ.get("DERMFORGE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
CASES = SHARED / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not there")


class Made:
    """What `shards make` did with a case."""

    def __init__(self, out: Path, status: int, said: str) -> None:
        self.out, self.status, self.said = out, status, said

    @property
    def rows(self) -> list[dict[str, Any]]:
        sets = [ShardSet.open(split) for split in sorted(self.out.iterdir()) if split.is_dir()]
        return [{str(k): v for k, v in row.items()} for data in sets for row in data.rows.to_dict("records")]

    def values(self, column: str) -> set[Any]:
        return {row[column] for row in self.rows}

    def listed(self, name: str) -> dict[str, str]:
        with (self.out / name).open(newline="") as file:
            return {row["name"]: row["why"] for row in csv.DictReader(file)}

    @property
    def balanced(self) -> bool:
        """Whether every file is accounted for."""
        made = json.loads((self.out / "_made.json").read_text())
        left_out = made["dropped"] - made["rows_without_image"] + made["passed_over"]
        return bool(made["files"] == sum(made["written"].values()) + left_out)


@pytest.fixture
def make(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Made]:
    from dermforge.common import console

    def run(case: str, *words: str) -> Made:
        source, out = CASES / case / "data", tmp_path / case
        if not source.is_dir():
            pytest.skip(f"no case {case}")
        monkeypatch.setattr("sys.argv", ["shards", "make", str(source), "--out", str(out), *words])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        with pytest.raises(SystemExit) as done:
            console.run(PROGRAM.app())
        captured = capsys.readouterr()
        return Made(out, int(done.value.code or 0), captured.out + captured.err)

    return run


@pytest.mark.parametrize(
    ("case", "column", "expected"),
    [
        ("csv_backslash", "class", {"mel", "nv", "bkl"}),
        ("csv_bom", "class", {"plaque", "macule", "papule"}),
        ("csv_capitals", "class", {"mel", "nv", "bkl"}),
        ("csv_minus_one", "group", {None, "1", "2", "3", "4", "5", "6"}),
        ("csv_semicolon", "class", {"plaque", "macule", "papule"}),
        ("csv_space_header", "class", {"mel", "nv", "bkl"}),
        ("csv_suffix_case", "class", {"mel", "nv", "bkl"}),
        ("csv_utf16", "class", {"plaque", "macule", "papule"}),
        ("hf_unlabelled", "class", {"macule", "plaque"}),
        ("parquet_nan_class", "class", {"0", "1"}),
        ("parquet_two_pictures", "id", {f"c{i}" for i in range(6)}),
        ("tar_gz", "class", {"0", "1"}),
        ("tar_gz_named_tar", "class", {"0", "1"}),
        ("tar_uppercase", "class", {"0", "1"}),
        ("tar_macos", "class", {"0", "1"}),
        ("split_words", "split", {"train", "validation", "test"}),
        ("one_image_a_class", "split", {"train", "validation", "test"}),
        ("class_missing_in_validation", "split", {"train", "validation", "test"}),
        ("no_validation", "split", {"train", "test"}),
        ("one_class", "class", {"a"}),
    ],
)
def test_read_as_meant(make: Callable[..., Made], case: str, column: str, expected: set[Any]) -> None:
    made = make(case)
    assert made.status == 0
    assert made.values(column) == expected
    assert made.balanced


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("csv_latin1", ["meta.csv", "UTF-8"]),
        ("csv_unknown_columns", ["HAM_metadata.csv", "lesion_id, image_id, dx, age, sex", "--class-column"]),
        ("tar_cls_newline_named", ["label, txt"]),
        ("tar_empty", ["empty"]),
        ("tar_two_views", ["clinical.jpg", "dermoscopic.jpg"]),
        ("tar_unsorted", ["do not follow each other"]),
    ],
)
def test_refused_in_one_line(make: Callable[..., Made], case: str, words: list[str]) -> None:
    made = make(case)
    assert made.status == 2
    assert len(made.said.strip().splitlines()) == 1
    assert all(word in made.said for word in words)


def test_columns_named_by_the_user(make: Callable[..., Made]) -> None:
    made = make("csv_unknown_columns", "--file-column", "image_id", "--class-column", "dx")
    assert made.values("class") == {"mel", "nv", "bkl"}
    assert make("parquet_bool_class", "--class-column", "malignant").values("class") == {"True", "False"}


def test_patients_and_quotes_survive(make: Callable[..., Made]) -> None:
    made = make("csv_quotes")
    assert {"0000", "0001"} <= made.values("cluster")
    assert any("\n" in row["attributes"].get("notes", "") for row in made.rows)


def test_patients_that_became_floats(make: Callable[..., Made]) -> None:
    clusters = [row["cluster"] for row in make("parquet_table").rows]
    assert {"0", "1", "2", "3", "4", "5"} <= set(clusters)
    assert len(set(clusters)) == 10


@pytest.mark.parametrize("case", ["tar_long_gnu", "tar_long_pax"])
def test_long_names_make_distinct_ids(make: Callable[..., Made], case: str) -> None:
    assert len(make(case).values("id")) == 4


def test_what_is_no_image_of_the_set_is_listed(make: Callable[..., Made]) -> None:
    made = make("hidden_folders")
    assert {row["id"].split("-")[-1] for row in made.rows} == {f"ok{i}" for i in range(8)}
    assert made.values("class") == {"macule", "plaque"}
    assert len(made.listed("_passed_over.csv")) == 6
    assert made.balanced


def test_foreign_pictures_are_imported_or_listed(make: Callable[..., Made]) -> None:
    """TIFF, BMP, GIF and JFIF are read; HEIC never, DICOM with pydicom (this file holds no picture)."""
    made = make("foreign_formats")
    assert len(made.rows) == 11
    assert set(made.listed("_dropped.csv")) == {"plaque/derm.dcm", "plaque/iphone.heic"}
    assert made.balanced
    tar = make("tar_tif_only")
    assert len(tar.rows) == 8
    assert tar.listed("_dropped.csv") == {"train-000000.tar/s9": "has no class"}


def test_odd_images_show_what_they_show(make: Callable[..., Made]) -> None:
    made = make("odd_images", "--split", "1,0,0")
    data = ShardSet.open(made.out / "train")
    pixels = {sample.id: image.astype(int) for sample, image in data.images()}
    blue = pixels["lesion-b_alpha"]
    assert not ((blue[..., 2] > 200) & (blue[..., 0] < 100)).any()
    reference = pixels["lesion-a_ref"]
    for name in ("lesion-e_gray16", "lesion-f_gray12in16", "lesion-u_gray"):
        assert abs(pixels[name].mean() - reference.mean()) < 20
    for name in ("lesion-h_exif6", "lesion-i_exif6", "lesion-j_exif8"):
        assert pixels[name].shape[:2] == (72, 96)
    assert np.abs(pixels["lesion-g_cmyk"].mean() - reference.mean()) < 30
    assert {"lesion/k_trunc.jpg", "lesion/p_zero.jpg", "lesion/t_pano.png"} <= set(made.listed("_dropped.csv"))
    assert made.balanced


def test_a_shard_that_ends_anywhere_in_a_record_is_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data end 19 blocks into a record of 20."""
    from dermforge.common import console

    monkeypatch.setattr("sys.argv", ["shards", "verify", str(CASES / "verify_one_in_twenty" / "data"), "--deep"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as done:
        console.run(PROGRAM.app())
    assert done.value.code in (None, 0), capsys.readouterr().err


def test_hugging_face_reads_a_column_that_begins_empty(
    make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    from dermforge.common import console

    made = make("hf_null_first", "--split", "1,0,0", "--shard-size", "6")
    words = ["shards", "card", str(made.out / "train"), "--license", "cc-by-4.0", "--summary", "x"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as done:
        console.run(PROGRAM.app())
    assert done.value.code in (None, 0)
    assert datasets.load_dataset(str(made.out / "train"), cache_dir=str(tmp_path / "cache"))["train"].num_rows == 24
