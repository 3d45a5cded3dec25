"""Matplotlib figures as SVG to put straight into a page: no files, readable in grey and by a screen reader.

Okabe & Ito's palette, with a marker and a line style each, so that colour never carries the meaning alone.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from evalsuite.page.render import named_svg

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.0,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def style() -> AbstractContextManager[None]:
    """Matplotlib's settings while a figure is drawn."""
    return mpl.rc_context(STYLE)


def short(name: str, most: int = 28) -> str:
    """A name cut for drawing: one of a hundred letters would leave no room for the axes. The description has it all."""
    return name if len(name) <= most else name[: most - 1] + "…"


def as_svg(figure: Figure, title: str, description: str) -> str:
    """The figure as an <svg> element without scripts, dates or outside references; equal figures give equal bytes."""
    buffer = StringIO()
    # the ids of two plots on a page differ; a letter is text, also of a figure that was drawn without `style`
    with mpl.rc_context({"svg.hashsalt": title, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = re.sub(r' id="[a-z0-9]+_\d+"', "", buffer.getvalue())  # counted names, the same in every figure
    return named_svg(text[text.index("<svg") :], title, description)
