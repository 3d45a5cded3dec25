"""What others cite and package: CITATION.cff, the paper's draft and the conda recipe say what the project says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from dermforge import __version__

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
RECIPE: dict[str, Any] = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
PAPER = (ROOT / "paper" / "paper.md").read_text(encoding="utf-8")
#: Packages that conda-forge has under another name.
ON_CONDA = {"torch": "pytorch", "huggingface-hub": "huggingface_hub", "matplotlib": "matplotlib-base"}


def test_the_citation_is_of_the_format() -> None:
    """The schema of the Citation File Format."""
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is a development dependency")
    words = ["-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format", str(ROOT / "CITATION.cff")]
    done = subprocess.run([sys.executable, "-P", *words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_citation_names_this_version_and_the_study() -> None:
    assert (CITATION["version"], CITATION["license"]) == (__version__, PROJECT["license"])
    assert [one["name"] for one in CITATION["authors"]] == [one["name"] for one in PROJECT["authors"]]
    (study,) = CITATION["references"]
    assert (study["year"], study["identifiers"][0]["value"]) == (2023, "arXiv:2308.12453")


def test_the_recipe_needs_what_the_project_needs() -> None:
    needed = {"python": SpecifierSet(PROJECT["requires-python"])}
    for line in PROJECT["dependencies"]:
        one = Requirement(line)
        needed[ON_CONDA.get(one.name, one.name)] = one.specifier
    listed = dict(line.split(" ", 1) for line in RECIPE["requirements"]["run"])
    assert {name: SpecifierSet(bounds) for name, bounds in listed.items()} == needed
    assert len(listed) == len(RECIPE["requirements"]["run"])


def test_the_recipe_names_this_version_and_every_program() -> None:
    assert RECIPE["context"]["version"] == __version__
    assert RECIPE["about"]["license"] == PROJECT["license"]
    assert RECIPE["about"]["summary"] == PROJECT["description"]
    programs = dict(line.split(" = ") for line in RECIPE["build"]["python"]["entry_points"])
    assert programs == PROJECT["scripts"]


def test_every_citation_of_the_paper_is_in_its_bibliography_and_used() -> None:
    pybtex = pytest.importorskip("pybtex.database", reason="pybtex is a development dependency")
    entries = set(pybtex.parse_file(str(ROOT / "paper" / "paper.bib")).entries)
    assert set(re.findall(r"@(\w+)", PAPER)) == entries


def test_the_paper_has_the_parts_and_the_length_that_joss_asks_for() -> None:
    head, body = PAPER.removeprefix("---\n").split("\n---\n", 1)
    assert {"title", "tags", "authors", "affiliations", "date", "bibliography"} <= set(yaml.safe_load(head))
    for part in ("Summary", "Statement of need", "State of the field", "Limits", "Acknowledgements", "References"):
        assert f"\n# {part}\n" in body
    assert 250 <= len(body.split()) <= 1000


def test_the_paper_claims_no_number_that_is_not_on_the_page_of_measurements() -> None:
    page = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    results = PAPER.split("# What was measured")[1].split("# Acknowledgements")[0]
    numbers = re.findall(r"\d+\.\d+|\d+ min \d+ s|\d+ %", results)
    assert len(numbers) > 8
    assert [number for number in numbers if number not in page] == []
