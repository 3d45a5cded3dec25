"""Excel workbooks, written part by part."""

from __future__ import annotations

import zipfile
from pathlib import Path

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
LINK = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
SHEET = """<c r="A1" t="s"><v>0</v></c><c r="C1" t="inlineStr"><is><t>n</t></is></c></row>
<row r="2"><c r="A2" t="s"><v>1</v></c><c r="B2"><v>-9007199254740993</v></c><c r="C2" t="b"><v>1</v></c></row>
<row r="3"><c r="A3"/><c r="C3"><v>3.0</v></c></row><row r="4"></row>"""


def workbook(path: Path, sheet: str = SHEET, target: str = "worksheets/data.xml", packed: bool = False) -> Path:
    """A workbook with one sheet; its parts are compressed, as Excel writes them, or stored."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as book:
        sheets = '<sheets><sheet name="x" sheetId="1" r:id="rId7"/></sheets>'
        book.writestr("xl/workbook.xml", f'<workbook {MAIN} xmlns:r="{LINK}">{sheets}</workbook>')
        book.writestr("xl/_rels/workbook.xml.rels", f'<R><Relationship Id="rId7" Target="{target}"/></R>')
        book.writestr(
            "xl/sharedStrings.xml", f"<sst {MAIN}><si><t>file</t></si><si><r><t>a</t></r><r><t>.jpg</t></r></si></sst>"
        )
        head = f'<worksheet {MAIN}><sheetData><row r="1">'
        book.writestr("xl/worksheets/data.xml", f"{head}{sheet}</sheetData></worksheet>")
    return path
