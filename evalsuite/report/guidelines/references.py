"""The works that the methods paragraph may cite, as BibTeX; only those that it does cite are written."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files

from dermforge.common.version import __version__

_ENTRY = re.compile(r"^@\w+\{([^,]+),\n.*?^\}$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """An entry: its key, its title as a reader sees it, its DOI or address, and its BibTeX."""

    key: str
    title: str
    place: str
    entry: str


def references(keys: Collection[str]) -> list[Reference]:
    """The works of these keys, by key; KeyError where there is none."""
    text = (files("evalsuite.report.guidelines") / "references.bib").read_text("utf-8")
    known = {found[1]: found[0].replace("VERSION", __version__) for found in _ENTRY.finditer(text)}
    return [_reference(key, known[key]) for key in sorted(set(keys))]


def bibtex(of: Collection[Reference]) -> str:
    """A BibTeX file."""
    return "\n\n".join(one.entry for one in of) + "\n"


def _reference(key: str, entry: str) -> Reference:
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},?$", entry, re.MULTILINE))
    title = fields["title"].replace("{", "").replace("}", "")
    return Reference(key, title, fields.get("doi") or fields.get("url", ""), entry)
