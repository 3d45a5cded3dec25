"""Excel's first sheet as text, whole numbers with all their digits."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from xlsx_helpers import SHEET, workbook

from dermforge.common import xlsx
from dermforge.common.errors import UserError
from dermforge.common.tables import read_table


def test_cells_by_their_places(tmp_path: Path) -> None:
    """Gaps stay gaps; a signed 64-bit id keeps its digits; the nameless column is left out of the table."""
    path = workbook(tmp_path / "t.xlsx")
    assert xlsx.read_rows(path) == [["file", "", "n"], ["a.jpg", "-9007199254740993", "True"], ["", "", "3"]]
    assert read_table(path).to_dict("list") == {"file": ["a.jpg", None], "n": ["True", "3"]}


@pytest.mark.parametrize(("sheet", "target"), [("<c", "worksheets/data.xml"), (SHEET, "worksheets/none.xml")])
def test_broken_workbooks_are_named(tmp_path: Path, sheet: str, target: str) -> None:
    with pytest.raises(UserError, match="cannot read the table"):
        xlsx.read_rows(workbook(tmp_path / "t.xlsx", sheet, target))


def test_what_claims_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entity = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]>'
    with zipfile.ZipFile(tmp_path / "e.xlsx", "w") as book:
        book.writestr("xl/workbook.xml", f"{entity}<x>&a;</x>")
    with pytest.raises(UserError, match="defines entities"):
        xlsx.read_rows(tmp_path / "e.xlsx")
    monkeypatch.setattr(xlsx, "MAX_PART", 10)
    with pytest.raises(UserError, match="at most 10 are read"):
        xlsx.read_rows(workbook(tmp_path / "t.xlsx"))
