"""CSV that a spreadsheet shows and never runs: a text cell that begins as a formula gets an apostrophe before it.

Excel and LibreOffice take a cell for a formula where it begins with =, +, -, @, a tab or a line break, and ids, classes
and groups are other people's texts. `dermforge.common.tables.read_table` takes the apostrophe away again.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

import pandas as pd

#: An apostrophe more for those that have some already, so that reading gives back what was written.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf|-")


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A table as CSV in UTF-8, without its index."""
    safe = frame.map(guarded).set_axis([guarded(str(name)) for name in frame.columns], axis=1)
    return bytes(safe.to_csv(index=False, lineterminator="\n").encode())


def csv_of_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as CSV in UTF-8; names of files that are no UTF-8 keep their bytes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([guarded(cell) for cell in row] for row in (columns, *rows))
    return text.getvalue().encode(errors="surrogateescape")


def guarded(cell: object) -> object:
    """A cell as it is written; numbers stay as they are."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def unguarded(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells, all of them text, as they were before `guarded`."""
    return pd.DataFrame({name: _bare_column(column) for name, column in frame.items()})


def _bare_column(column: pd.Series) -> pd.Series:
    return column.map(bare) if column.str.startswith("'").any() else column


def bare(cell: str) -> str:
    """A text as it was before `guarded`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
