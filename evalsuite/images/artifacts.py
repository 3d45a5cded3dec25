"""The files of the commands that measure images: tables, a JSON summary, a section of the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dermforge.common import as_json
from dermforge.common.atomic import write_whole
from dermforge.common.csv_cells import csv_bytes
from dermforge.common.errors import UserError
from dermforge.common.sealed_file import sealed_json
from dermforge.common.sealed_parquet import sealed
from evalsuite.page.image_check import SECTION, ImageCheck
from evalsuite.stats.estimate import Estimate


def write_table(frame: pd.DataFrame, file: Path) -> None:
    """Write Parquet or CSV, as the suffix says; estimates become value, low and high columns."""
    if file.suffix.lower() not in (".parquet", ".csv"):
        raise UserError(f"{file}: unknown kind of table {file.suffix!r}; expected .parquet or .csv")
    file.parent.mkdir(parents=True, exist_ok=True)
    flat = flatten(frame)
    write_whole(file, sealed(flat) if file.suffix.lower() == ".parquet" else csv_bytes(flat))


def flatten(frame: pd.DataFrame) -> pd.DataFrame:
    """A column of estimates x becomes x, x_low and x_high."""
    columns: dict[str, Any] = {}
    for name, values in frame.items():
        if len(values) and isinstance(values.iloc[0], Estimate):
            columns[str(name)] = [v.value for v in values]
            columns[f"{name}_low"], columns[f"{name}_high"] = [v.low for v in values], [v.high for v in values]
        else:
            columns[str(name)] = values.to_numpy()
    return pd.DataFrame(columns)


def write_json(value: Any, file: Path) -> None:
    """Write plain JSON, NaN as null."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, as_json.document(plain(value), indent=1).encode())


def write_findings(
    part: ImageCheck, folder: Path, name: str, summary: dict[str, Any], tables: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    """Write tables, the summary with its verdict as NAME.json, and the section for `evalsuite report`."""
    for file, frame in tables.items():
        write_table(frame, folder / file)
    found: dict[str, Any] = plain(summary | {"verdict": part.verdict})
    write_json(found, folder / f"{name}.json")
    write_whole(folder / SECTION, sealed_json(as_json.document(plain(part), indent=1)))
    return found


def plain(value: Any) -> Any:
    """As `as_json.plain`; frames as lists of rows, estimates as their columns."""
    if isinstance(value, pd.DataFrame):
        return as_json.plain(flatten(value).to_dict("records"))
    if isinstance(value, Estimate):
        return as_json.plain(value.columns())
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    return as_json.plain(value)
