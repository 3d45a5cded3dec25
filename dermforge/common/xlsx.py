"""The first sheet of an Excel workbook (.xlsx, ECMA-376) as text: whole numbers of any length keep their digits."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

from dermforge.common.decoding import decoding
from dermforge.common.errors import UserError

#: A part of a workbook may have so many bytes; a small file could claim more than the memory holds.
MAX_PART = 512 << 20
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def read_rows(path: Path) -> list[list[str]]:
    """The cells of the first sheet, row by row, all rows of one length; empty cells are "".

    Dates are the numbers that Excel stores for them, and the results of formulas are as they were saved.

    Raises
    ------
    UserError
        Not a workbook, or one that claims too much.
    """
    rows = []
    with decoding(f"cannot read the table {path}", "save it again as .xlsx or CSV"), zipfile.ZipFile(path) as book:
        shared = [_text(item) for item in _part(book, "xl/sharedStrings.xml", optional=True)]
        for row in _part(book, _first_sheet(book)).iter(f"{_MAIN}row"):
            cells: list[str] = []
            for cell in row.iter(f"{_MAIN}c"):
                at = _column(cell.get("r", ""), len(cells))
                cells += [""] * (at - len(cells))
                cells.append(_value(cell, shared))
            rows.append(cells)
    width = max((len(row) for row in rows), default=0)
    return [row + [""] * (width - len(row)) for row in rows if any(row)]


def _first_sheet(book: zipfile.ZipFile) -> str:
    first = next(_part(book, "xl/workbook.xml").iter(f"{_MAIN}sheet"), None)
    if first is None:
        raise ValueError("no sheet")
    links = {link.get("Id"): link.get("Target", "") for link in _part(book, "xl/_rels/workbook.xml.rels")}
    target = links[first.get(_RELATION)]
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _part(book: zipfile.ZipFile, name: str, optional: bool = False) -> ElementTree.Element:
    if optional and name not in book.namelist():
        return ElementTree.Element("empty")
    info = book.getinfo(name)
    if info.file_size > MAX_PART:
        raise UserError(f"{book.filename}: {name} has {info.file_size} bytes; at most {MAX_PART} are read")
    content = book.read(info)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise UserError(f"{book.filename}: {name} defines entities, which no workbook does; save it again")
    return ElementTree.fromstring(content)


def _value(cell: ElementTree.Element, shared: list[str]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return _text(cell)
    held = cell.findtext(f"{_MAIN}v", "")
    if kind == "s":
        return shared[int(held)]
    if kind == "b":
        return "True" if held == "1" else "False"
    return "" if kind == "e" else re.sub(r"^(-?\d+)\.0$", r"\1", held)


def _text(item: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in item.iter(f"{_MAIN}t"))


def _column(place: str, expected: int) -> int:
    """The number of the column of a cell such as BC12, from 0."""
    letters = re.match(r"[A-Z]+", place)
    if letters is None:
        return expected
    number = 0
    for letter in letters[0]:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1
