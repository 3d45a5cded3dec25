"""Reading a user's table: CSV, TSV, Excel, parquet or JSON Lines, all by one function."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet

from dermforge.common import xlsx
from dermforge.common.csv_cells import unguarded
from dermforge.common.decoding import decoding
from dermforge.common.errors import UserError
from dermforge.common.missing import is_missing
from dermforge.common.sealed_parquet import check_seal
from dermforge.common.texts_as_values import json_value

#: The most bytes of a table that is text: it is read whole.
MAX_TEXT = 2 << 30
SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet", ".jsonl")


def read_table(path: Path) -> pd.DataFrame:
    """Read a table; what is text in it stays text, and a missing cell is missing.

    Returns
    -------
    All cells of CSV, TSV and Excel are text, so that "03" stays a name; commas, semicolons, tabs and bars may part
    them, and the files may be gzipped, in UTF-8 or UTF-16. Parquet and JSON Lines keep their numbers; what is nested in
    JSON Lines is JSON text. A text cell that is empty or missing is None; "NA" is text here, and
    `dermforge.common.missing` says what a column takes for missing. Columns without a name, such as the row numbers
    that pandas writes, are left out.

    Raises
    ------
    UserError
        No such file, another kind of file, one that cannot be read, a first line that does not name the columns, or a
        column that is there twice.
    """
    if not path.is_file():
        raise UserError(f"no file {path}; expected a CSV, TSV, Excel, parquet or JSON Lines table")
    kind = Path(path.name.removesuffix(".gz")).suffix.lower()
    if kind != ".parquet" and (size := path.stat().st_size) > MAX_TEXT:
        raise UserError(f"{path} has {size} bytes; at most {MAX_TEXT} are read as text: save it as parquet")
    with decoding(f"cannot read the table {path}", "write it again"):
        frame = _decoded(path, kind)
    names = [str(name) for name in frame.columns]
    frame = _named(path, frame.set_axis(names, axis=1))
    names = list(frame.columns)
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path}: column {repeated[0]!r} appears twice; keep one")
    return frame.assign(**{name: _missing_as_none(frame[name]) for name in frame.columns if not _typed(frame[name])})


def _decoded(path: Path, kind: str) -> pd.DataFrame:
    if kind == ".parquet":
        check_seal(path)
        # whole numbers beside empty cells stay whole numbers: as floats, ids of 64 bits would lose digits
        read = pyarrow.parquet.read_table(path)
        read.validate(full=True)  # such as texts that are no UTF-8
        frame: pd.DataFrame = read.to_pandas(integer_object_nulls=True)
        return frame
    if kind == ".jsonl":
        return _json_lines(path)
    if kind == ".xlsx":
        return _with_header(pd.DataFrame(xlsx.read_rows(path), dtype=str))
    if kind in (".csv", ".tsv", ".txt", ""):
        return _separated(path, "\t" if kind == ".tsv" else ",")
    raise UserError(f"{path}: unknown kind of file {path.suffix!r}; expected {', '.join(SUFFIXES)}")


def _named(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that have a name. Of the others one may hold something: the row numbers that pandas writes."""
    nameless = [name == "" or name.startswith("Unnamed: ") for name in frame.columns]
    held = [i for i, no_name in enumerate(nameless) if no_name and not frame.iloc[:, i].map(_is_empty).all()]
    named = frame.loc[:, [not no_name for no_name in nameless]]
    if len(held) > 1:
        said = ", ".join(named.columns) or "nothing"
        raise UserError(
            f"{path}: the first line names {named.shape[1]} of {named.shape[1] + len(held)} columns ({said}); remove "
            "what stands above the names of the columns"
        )
    return named


def _is_empty(value: object) -> bool:
    return _present(value) is None or (isinstance(value, str) and not value.strip())


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Every cell as text, None where it is missing; a whole number that parquet holds as 3.0 reads 3."""
    return frame.map(_text).astype(object).where(lambda f: f.notna(), None)


def _separated(path: Path, usual: str) -> pd.DataFrame:
    """The first line is read as a row: pandas would rename repeated columns and take surplus cells for an index."""
    encoding = _encoding(path)
    try:
        said = re.fullmatch(r'"?sep=(.)"?\s*', _first_line(path, encoding))  # for Excel
        whole = pd.read_csv(
            path,
            sep=said[1] if said else _separator(path, encoding, usual),
            skiprows=1 if said else 0,
            header=None,
            dtype=str,
            keep_default_na=False,
            encoding=encoding,
            skipinitialspace=True,
        )
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}, {error.object[error.start]:#x}); "
            "save it as UTF-8, such as CSV UTF-8 in Excel"
        ) from error
    except pd.errors.ParserError as error:
        uneven = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if uneven is None:
            raise
        named, line, found = uneven.groups()
        raise UserError(
            f"cannot read the table {path}: line {line} has {found} cells and the lines above it {named}; remove what "
            "stands above the names of the columns, or quote cells that hold the separator"
        ) from error
    return _with_header(unguarded(whole))


def _with_header(whole: pd.DataFrame) -> pd.DataFrame:
    """The table below its first row, which names the columns."""
    if whole.empty:
        return pd.DataFrame()
    return whole.iloc[1:].reset_index(drop=True).set_axis([str(n).strip() for n in whole.iloc[0]], axis=1)


def _encoding(path: Path) -> str:
    """UTF-16 by its mark or by its zeros, else UTF-8 with or without a mark."""
    with _opened(path) as file:
        data = file.read(1 << 20)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    for encoding, zeros in (("utf-16-le", data[1::2]), ("utf-16-be", data[::2])):
        if zeros.count(0) > len(zeros) / 2:
            return encoding
    if b"\0" in data:
        raise UserError(f"{path} is not text: byte {data.index(0)} is zero; save it as CSV again")
    return "utf-8-sig"


def _separator(path: Path, encoding: str, usual: str) -> str:
    """The character that parts the first line into most cells; `usual` where it parts none."""
    first = _first_line(path, encoding)
    parts = {sep: len(next(csv.reader([first], delimiter=sep), [])) for sep in dict.fromkeys((usual, *",;\t|"))}
    return str(max(parts, key=lambda sep: parts[sep]))


def _first_line(path: Path, encoding: str) -> str:
    with _opened(path) as file:
        return io.TextIOWrapper(io.BytesIO(file.read(1 << 20)), encoding=encoding, errors="replace").readline()


def _opened(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.GzipFile(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _json_lines(path: Path) -> pd.DataFrame:
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json_value(line) if line.strip() else {}
            except ValueError as error:
                raise UserError(f"{path}, line {number}: {error}; expected a JSON object a line") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}: {line.strip()[:40]}; expected a JSON object a line")
            rows.append({k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in row.items()})
    return pd.DataFrame([row for row in rows if row], dtype=object)


def _typed(column: pd.Series) -> bool:
    """Whether a column holds numbers, truth values or dates rather than text."""
    return not (pd.api.types.is_object_dtype(column) or isinstance(column.dtype, pd.StringDtype | pd.CategoricalDtype))


def _missing_as_none(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.StringDtype):
        return column.astype(object).where(column.notna() & (column != ""), None)
    return pd.Series([_present(value) for value in column], column.index, dtype=object)


def _present(value: object) -> object:
    """The value of a cell, None where it is missing."""
    missing = value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)
    return None if missing or (isinstance(value, str) and not value) else value


def _text(value: object) -> str | None:
    if _present(value) is None or (not isinstance(value, str) and is_missing(value)):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
