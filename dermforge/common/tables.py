"""Reading a user's table: CSV, TSV, parquet or JSON Lines, all by one function."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa

from dermforge.common.errors import UserError

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")


def read_table(path: Path) -> pd.DataFrame:
    """Read a table; what is text in it stays text, and a missing cell is missing.

    Returns
    -------
    All cells of CSV and TSV are text, so that "03" and "NA" stay names; the files may be gzipped. Parquet and JSON
    Lines keep their numbers; what is nested in JSON Lines is JSON text. A text cell that is empty or missing is None.
    Columns without a name, such as the row numbers that pandas writes, are left out.

    Raises
    ------
    UserError
        No such file, another kind of file, one that cannot be read, or a column that is there twice.
    """
    if not path.is_file():
        raise UserError(f"no file {path}; expected a CSV, TSV, parquet or JSON Lines table")
    kind = Path(path.name.removesuffix(".gz")).suffix.lower()
    try:
        if kind == ".parquet":
            frame = pd.read_parquet(path)
        elif kind == ".jsonl":
            frame = _json_lines(path)
        elif kind in (".csv", ".tsv", ".txt", ""):
            frame = _separated(path, "\t" if kind == ".tsv" else ",")
        else:
            raise UserError(f"{path}: unknown kind of file {path.suffix!r}; expected {', '.join(SUFFIXES)}")
    except UserError:  # a line of JSON
        raise
    except (OSError, ValueError, EOFError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"cannot read the table {path} ({reason}); write it again") from error
    names = [str(name) for name in frame.columns]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path}: column {repeated[0]!r} appears twice; keep one")
    frame = frame.set_axis(names, axis=1).loc[:, [not n.startswith("Unnamed: ") and n != "" for n in names]]
    return frame.assign(**{name: _missing_as_none(frame[name]) for name in frame.columns if not _typed(frame[name])})


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Every cell as text, None where it is missing; a whole number that parquet holds as 3.0 reads 3."""
    return frame.map(_text).astype(object).where(lambda f: f.notna(), None)


def _separated(path: Path, separator: str) -> pd.DataFrame:
    """The first line is read as a row: pandas would rename repeated columns and take surplus cells for an index."""
    whole = pd.read_csv(path, sep=separator, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    return whole.iloc[1:].reset_index(drop=True).set_axis(whole.iloc[0].tolist(), axis=1)


def _json_lines(path: Path) -> pd.DataFrame:
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line) if line.strip() else {}
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
    if _present(value) is None:
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
