"""One part of the report: a title, a verdict in a sentence, tables and figures; everything is safe HTML."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import pandas as pd

from evalsuite.quality.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from evalsuite.report import page


class Table(TypedDict):
    caption: str
    columns: list[str]
    rows: list[list[str]]


class Drawing(TypedDict):
    caption: str
    svg: str


class Section(TypedDict):
    """All strings are escaped; `svg` is markup that this package made."""

    title: str
    verdict: str
    status: str  # good | warn | bad | unknown
    tables: list[Table]
    figures: list[Drawing]


def section(
    title: str, verdict: str, status: str, tables: Sequence[Table] = (), figures: Sequence[Drawing] = ()
) -> Section:
    """A section with its own words escaped."""
    return {"title": html.escape(title), "verdict": html.escape(verdict), "status": status,
            "tables": list(tables), "figures": list(figures)}


def table(caption: str, frame: pd.DataFrame) -> Table:
    """A frame as escaped text; NaN reads "not enough data"."""
    return {
        "caption": html.escape(caption), "columns": [html.escape(str(c)) for c in frame.columns],
        "rows": [[html.escape(_text(v)) for v in row] for row in frame.itertuples(index=False)],
    }


def figure(caption: str, drawing: Figure) -> Drawing:
    """A matplotlib figure as inline SVG without scripts, dates or outside references."""
    stream = io.StringIO()
    drawing.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = stream.getvalue()
    return {"caption": html.escape(caption), "svg": text[text.index("<svg"):]}


def image_figure(caption: str, jpegs: Sequence[tuple[bytes, str]], columns: int, cell: int = 96) -> Drawing:
    """Thumbnails with a line of text each, as one SVG with embedded JPEGs."""
    import base64

    rows = -(-len(jpegs) // columns)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * (cell + 8)}" height="{rows * (cell + 24)}" '
        f'role="img" aria-label="{html.escape(caption, quote=True)}" font-size="10" font-family="sans-serif">'
    ]
    for i, (jpeg, label) in enumerate(jpegs):
        x, y = i % columns * (cell + 8), i // columns * (cell + 24)
        data = base64.b64encode(jpeg).decode()
        parts.append(f'<image x="{x}" y="{y}" width="{cell}" height="{cell}" href="data:image/jpeg;base64,{data}"/>')
        parts.append(f'<text x="{x}" y="{y + cell + 12}">{html.escape(label[:20])}</text>')
    return {"caption": html.escape(caption), "svg": "".join(parts) + "</svg>"}


def to_page(part: Section) -> page.Section:
    """The same for `evalsuite.report`, whose templates escape by themselves."""
    from evalsuite.report import page

    plain = html.unescape
    blocks: list[page.Block] = [plain(part["verdict"])]
    blocks += [
        page.Table(list(map(plain, t["columns"])), [list(map(plain, row)) for row in t["rows"]], plain(t["caption"]))
        for t in part["tables"]
    ]
    blocks += [page.Plot(f["svg"], plain(f["caption"])) for f in part["figures"]]
    return page.Section(plain(part["title"]), blocks)


def _text(value: object) -> str:
    if isinstance(value, Estimate):
        return value.text()
    if isinstance(value, float):
        return "not enough data" if value != value else f"{value:.3g}"
    return "" if value is None else str(value)
