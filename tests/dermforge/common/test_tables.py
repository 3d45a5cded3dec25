"""The reader of tables keeps text as text and missing cells as missing."""

from __future__ import annotations

import gzip
import random
import re
from pathlib import Path

import pandas as pd
import pytest
from xlsx_helpers import workbook

from dermforge.common.errors import UserError
from dermforge.common.sealed_parquet import sealed
from dermforge.common.tables import as_text, read_table


def written(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_cells_of_csv_are_text_and_empty_ones_are_none(tmp_path: Path) -> None:
    """'03' is a name, 'NA' may be one; the row numbers of pandas and the byte order mark of Excel are neither."""
    table = read_table(written(tmp_path, '\ufeffid,,site,n\n03,0,NA,1.50\n04,1,,\n"a\nb",2,x\n'))
    assert table.columns.tolist() == ["id", "site", "n"]
    assert table.to_numpy().tolist() == [["03", "NA", "1.50"], ["04", None, None], ["a\nb", "x", None]]


def test_tab_separated_gzipped_and_nameless_files(tmp_path: Path) -> None:
    expected = [["1", "x,y"]]
    assert read_table(written(tmp_path, "a\tb\n1\tx,y\n", "t.tsv")).to_numpy().tolist() == expected
    assert read_table(written(tmp_path, gzip.compress(b'a,b\n1,"x,y"\n'), "t.csv.gz")).to_numpy().tolist() == expected
    assert read_table(written(tmp_path, 'a,b\n1,"x,y"\n', "t")).to_numpy().tolist() == expected


def test_parquet_and_json_lines_keep_their_numbers(tmp_path: Path) -> None:
    """Whole numbers with a missing cell are floats in pandas; as text they are whole numbers again."""
    frame = pd.DataFrame({"id": ["a", None], "group": [3.0, float("nan")], "p": [0.5, 0.25], "n": [1, 2]})
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert (table["id"].tolist(), table["p"].tolist(), table["n"].tolist()) == (["a", None], [0.5, 0.25], [1, 2])
    assert as_text(table).to_numpy().tolist() == [["a", "3", "0.5", "1"], [None, None, "0.25", "2"]]
    lines = read_table(written(tmp_path, '{"id": "a", "box": [1, 2]}\n\n{"id": "b", "n": 2}\n', "t.jsonl"))
    assert lines.to_numpy().tolist() == [["a", "[1, 2]", None], ["b", None, 2]]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("a,b,a\n1,2,3\n", "t.csv", "column 'a' appears twice"),
        ("a,b\n1,2,3\n", "t.csv", "cannot read the table .*line 2 has 3 cells and the lines above it 2"),
        ("", "t.csv", "cannot read the table"),
        (b"a,b\n\xff\xfe,1\n", "t.csv", "not text in UTF-8 .* at byte 4"),
        (b"PAR1 broken PAR1", "t.parquet", "cannot read the table"),
        (b"\x1f\x8bbroken", "t.csv.gz", "cannot read the table"),
        ("[1]\n", "t.jsonl", "line 1: .*expected a JSON object"),
        ("a,b\n", "t.xlsx", "cannot read the table"),
        ("a,b\n", "t.ods", "unknown kind of file '.ods'"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, content: str | bytes, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_table(written(tmp_path, content, name))
    with pytest.raises(UserError, match="no file"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Our data set,,\nfile,label,fst\na.jpg,wart,2\n", "the first line names 1 of 3 columns (Our data set)"),
        ("# made in 2024\nfile,label,fst\na.jpg,wart,2\n", "line 2 has 3 cells and the lines above it 1"),
        ("file,label\na.jpg,wart\nb.jpg,wart,flat\n", "line 3 has 3 cells and the lines above it 2"),
    ],
)
def test_lines_that_name_no_columns_are_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        read_table(tmp_path / "t.csv")
    assert "remove what stands above the names of the columns" in str(caught.value)


def test_empty_columns_and_row_numbers_without_a_name_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",file,label,,\n0,a.jpg,wart,,\n1,b.jpg,cyst, ,\n")
    assert read_table(tmp_path / "t.csv").to_dict("list") == {"file": ["a.jpg", "b.jpg"], "label": ["wart", "cyst"]}


@pytest.mark.parametrize(("line", "sep"), [("sep=;", ";"), ("sep=|", "|"), ('"sep=,"', ",")])
def test_the_line_that_tells_excel_the_separator_is_understood(tmp_path: Path, line: str, sep: str) -> None:
    (tmp_path / "t.csv").write_text(f"{line}\r\nfile{sep}label\r\na.jpg{sep}wart\r\n")
    assert read_table(tmp_path / "t.csv").to_dict("list") == {"file": ["a.jpg"], "label": ["wart"]}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_read_with_and_without_its_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes("file,label\na.jpg,verruga é\n".encode(encoding))
    assert read_table(tmp_path / "t.csv").to_dict("list") == {"file": ["a.jpg"], "label": ["verruga é"]}


@pytest.mark.parametrize("count", [150, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "checked"),
    [
        *[("t.csv", False), ("t.tsv", False), ("t.jsonl", False), ("t.parquet", False)],
        *[("t.csv.gz", True), ("t.xlsx", True), ("packed.xlsx", True), ("sealed.parquet", True)],
    ],
)
def test_no_damage_to_a_table_is_a_crash(tmp_path: Path, name: str, checked: bool, count: int) -> None:
    """Flips and cuts anywhere: the table is read, as it was if the format has checksums, or the file is refused."""
    path = a_table(tmp_path / name)
    whole, expected, rng = path.read_bytes(), read_table(path), random.Random(name)
    said = []
    for _ in range(count):
        torn = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.2 else whole)
        for _ in range(rng.choice((1, 1, 3)) if len(torn) == len(whole) else 0):
            torn[rng.randrange(len(torn))] ^= 1 << rng.randrange(8)
        path.write_bytes(torn)
        try:
            found = read_table(path)
        except UserError as error:
            said.append(str(error))
        else:
            assert not checked or found.equals(expected)
    assert all(str(path) in text for text in said)
    assert len(said) > (count / 2 if checked else 2)


def a_table(path: Path) -> Path:
    """A table of texts and numbers, some missing, in the format of its name."""
    frame = pd.DataFrame({"id": [f"a{i}" for i in range(40)], "site": ["head, neck", None] * 20})
    if path.name.endswith(".parquet"):
        frame = frame.assign(n=range(40), p=[0.25, float("nan")] * 20, day=pd.Timestamp("2026-01-01"))
        frame = frame.assign(lesion=pd.Categorical(frame["site"]))
    match path.name:
        case "sealed.parquet":
            path.write_bytes(sealed(frame))
        case "t.parquet":
            frame.to_parquet(path)
        case "t.jsonl":
            frame.to_json(path, orient="records", lines=True)
        case "t.csv" | "t.csv.gz" | "t.tsv":
            frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
        case _:
            workbook(path, packed=path.name != "t.xlsx")
    return path


def test_a_zero_byte_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"file,label\na.jpg,wart\0\n")
    with pytest.raises(UserError, match="is not text: byte 21 is zero"):
        read_table(tmp_path / "t.csv")
