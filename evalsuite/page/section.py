"""One part of the report: a title, a verdict in a sentence, tables and figures; everything is safe HTML."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import pandas as pd
from typing_extensions import TypedDict  # typing's own cannot be validated by pydantic before Python 3.12

from evalsuite.stats.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Axis = Literal["fidelity", "diversity", "utility", "privacy", "fairness"]
Status = Literal["good", "warn", "bad", "unknown"]
#: What synthetic images are judged by, in the report's order (Friedrich 2024 without fairness).
AXES: tuple[Axis, ...] = get_args(Axis)


class Table(TypedDict):
    axis: Axis
    caption: str
    columns: list[str]
    rows: list[list[str]]


class Drawing(TypedDict):
    axis: Axis
    caption: str
    svg: str


class Section(TypedDict):
    """All strings are escaped; `svg` is markup that this package made."""

    title: str
    verdict: str
    status: Status
    tables: list[Table]
    figures: list[Drawing]


def section(
    title: str, verdict: str, status: Status, tables: Sequence[Table] = (), figures: Sequence[Drawing] = ()
) -> Section:
    """A section with its own words escaped."""
    return {
        "title": html.escape(title),
        "verdict": html.escape(verdict),
        "status": status,
        "tables": list(tables),
        "figures": list(figures),
    }


def table(axis: Axis, caption: str, frame: pd.DataFrame) -> Table:
    """A frame as escaped text; NaN reads "not enough data"."""
    return {
        "axis": axis,
        "caption": html.escape(caption),
        "columns": [html.escape(str(c)) for c in frame.columns],
        "rows": [[html.escape(_text(v)) for v in row] for row in frame.itertuples(index=False)],
    }


def interval_texts(frame: pd.DataFrame, value: str = "rate", low: str = "low", high: str = "high") -> list[str]:
    """Three columns as one, for readers: "0.123 (0.100 to 0.150)"."""
    rows = zip(frame[value], frame[low], frame[high], strict=True)
    return [Estimate(middle, least, most, 0).text() for middle, least, most in rows]


def figure(axis: Axis, caption: str, drawing: Figure) -> Drawing:
    """A matplotlib figure as inline SVG without scripts, dates or outside references."""
    stream = io.StringIO()
    drawing.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = stream.getvalue()
    return {"axis": axis, "caption": html.escape(caption), "svg": text[text.index("<svg") :]}


def image_figure(axis: Axis, caption: str, jpegs: Sequence[tuple[bytes, str]], columns: int, cell: int = 96) -> Drawing:
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
    return {"axis": axis, "caption": html.escape(caption), "svg": "".join(parts) + "</svg>"}


def _text(value: object) -> str:
    if isinstance(value, Estimate):
        return value.text()
    if isinstance(value, float):
        return "not enough data" if value != value else f"{value:.3g}"
    return "" if value is None else str(value)
