"""The BibTeX is read by a bibliography processor."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from pybtex.database import parse_string

from dermforge.common.version import __version__
from evalsuite.report.guidelines.checklist import read_checklist
from evalsuite.report.guidelines.methods_text import INTERVALS, SOLVERS
from evalsuite.report.guidelines.names import GUIDELINES
from evalsuite.report.guidelines.references import bibtex, references

TEXT = (files("evalsuite.report.guidelines") / "references.bib").read_text("utf-8")
KEYS = re.findall(r"^@\w+\{([^,]+),", TEXT, re.MULTILINE)


def test_every_entry_is_found_and_read_by_pybtex() -> None:
    found = references(KEYS)
    read = parse_string(bibtex(found), "bibtex")
    assert list(read.entries) == sorted(KEYS)
    for one in found:
        entry = read.entries[one.key]
        assert entry.persons["author"]
        assert entry.fields["title"].replace("{", "").replace("}", "") == one.title
        assert one.key == "edwardes1995" or one.place.startswith(("10.", "https://"))
    assert read.entries["dermforge"].fields["version"] == __version__


def test_only_what_is_cited_is_written() -> None:
    assert [one.key for one in references({"wilson1927", "holm1979"})] == ["holm1979", "wilson1927"]
    assert "tango1998" not in bibtex(references(["wilson1927"]))
    with pytest.raises(KeyError):
        references(["nobody1900"])


def test_what_the_paragraph_may_cite_is_there() -> None:
    named = {*SOLVERS.values(), *(key for _, key in INTERVALS.values()), *(read_checklist(g).cite for g in GUIDELINES)}
    assert named <= set(KEYS)
