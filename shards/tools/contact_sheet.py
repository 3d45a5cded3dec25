"""The contact sheet: a few images of every class (rows) and group (columns), as one PNG."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from dermforge.common.atomic import write_whole
from dermforge.common.decoding import decoding
from dermforge.common.errors import UserError
from dermforge.common.output_file import refuse, refuse_folder
from shards.format.mark import Mark, marked
from shards.format.reader import ImageSet

#: The file name of the sheet of a run.
SHEET = "sheet.png"

#: A text in the PNG, by which a sheet is known.
_NOTE = ("Software", "dermforge contact sheet")

_MARGIN = 4
_INK, _PAPER, _EMPTY = (30, 30, 30), (255, 255, 255), (235, 235, 235)


def contact_sheet(data: ImageSet, path: Path, *, per_cell: int = 2, thumb: int = 64) -> None:
    """Write the first images of every cell to a PNG file, which replaces a contact sheet only; see `drawn`."""
    refuse_folder(path, "a contact sheet")
    if path.exists() and not _is_sheet(path):
        refuse(path, "a contact sheet")
    write_whole(path, drawn(data, per_cell=per_cell, thumb=thumb))


def drawn(data: ImageSet, *, per_cell: int = 2, thumb: int = 64) -> bytes:
    """The first images of every cell, as PNG.

    Parameters
    ----------
    per_cell
        The most images side by side in a cell.
    thumb
        Their longer edge in pixels; larger images are reduced with antialiasing, smaller ones stay as they are.
    """
    found: set[str] = set(data.rows["class"])
    classes = [label for label in data.classes if label in found]
    groups: list[str | None] = [*data.groups] or [None]
    if data.rows["group"].isna().any() and data.groups:
        groups.append(None)
    chosen = _first(data, per_cell)
    per_cell = max(map(len, chosen.values()), default=per_cell)  # no empty places where every cell has fewer
    font = ImageFont.load_default(12)
    left = 2 * _MARGIN + max((int(font.getlength(word)) for word in classes), default=0)
    top, cell = 20, per_cell * (thumb + 2) + _MARGIN
    sheet = Image.new("RGB", (left + cell * len(groups), top + (thumb + _MARGIN) * len(classes) + 18), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, group in enumerate(groups):
        draw.text((left + column * cell, 3), _word(group), _INK, font)
    for line, label in enumerate(classes):
        y = top + line * (thumb + _MARGIN)
        draw.text((_MARGIN, y + thumb // 2 - 6), _word(label), _INK, font)
        for column, group in enumerate(groups):
            places = chosen.get((label, group), [])
            for number in range(per_cell):
                x = left + column * cell + number * (thumb + 2)
                if number < len(places):
                    sheet.paste(_thumbnail(data.image_at(places[number])[1], thumb), (x, y))
                else:
                    draw.rectangle((x, y, x + thumb - 1, y + thumb - 1), fill=_EMPTY)
    origins = ", ".join(sorted(set(data.rows["origin"])))
    draw.text((_MARGIN, sheet.height - 16), f"{data.n} images, {origins}", _INK, font)
    note, out = PngInfo(), io.BytesIO()
    note.add_text(*_NOTE)
    sheet.save(out, "PNG", compress_level=1, pnginfo=note)
    all_real = origins in ("", "real")
    return out.getvalue() if all_real else marked(out.getvalue(), Mark("compositeSynthetic"))


def _is_sheet(path: Path) -> bool:
    try:
        with decoding(f"cannot read {path}"), Image.open(path) as there:
            return there.info.get(_NOTE[0]) == _NOTE[1]
    except UserError:
        return False


def _first(data: ImageSet, per_cell: int) -> dict[tuple[str, str | None], list[int]]:
    chosen: dict[tuple[str, str | None], list[int]] = {}
    for position, cell in enumerate(zip(data.rows["class"], data.rows["group"], strict=True)):
        places = chosen.setdefault(cell, [])
        if len(places) < per_cell:
            places.append(position)
    return chosen


def _thumbnail(pixels: NDArray[np.uint8], edge: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    return image


def _word(name: str | None) -> str:
    return (name or "").replace("_", " ")
