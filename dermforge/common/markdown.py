"""Other people's words in Markdown: shown as they are, and a table of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: What Markdown (and pandoc's, which knows $ and @) takes for a sign of its own.
_SIGNS = re.compile(r"([\\`*_{}\[\]#!|~^$@])")
#: What begins a list, a line across the page or (pandoc's) a definition where it stands first.
_FIRST = re.compile(r"^([-+:=]|\(?(?:\d+|[A-Za-z]|[ivxlcdm]+)[.)])(?=[-=\s]|$)", re.IGNORECASE)
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, on one line: no table cell, tag, link, list or formula comes of it.

    Examples
    --------
    >>> print(escaped("- a|b <i>"))
    \\- a\\|b &lt;i&gt;
    """
    line = " ".join(text.split())
    signs = _SIGNS.sub(r"\\\1", "".join(_HTML.get(c, c) for c in line))
    return _FIRST.sub(lambda found: f"{found[1][:-1]}\\{found[1][-1]}", signs)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its cells are Markdown.

    Examples
    --------
    >>> print(table(["class", "images"], [["nevus", "3"]]))
    | class | images |
    | --- | --- |
    | nevus | 3 |
    """
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])
