"""Margins: defaults that a file may change, by name and with their ends the right way round."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dermforge.common.digests import digest_file
from dermforge.common.errors import UserError
from evalsuite.report.use_report import SECTIONS, WORDS
from evalsuite.stats.equivalence import Margin
from evalsuite.use.margins import DEFAULTS, DIFFERENCES, RATIOS, read_margins


def test_every_measure_has_a_margin_that_holds_no_change_words_and_a_section() -> None:
    for measures, same in ((DIFFERENCES, 0.0), (RATIOS, 1.0)):
        assert all(margin.holds(same, same) for margin in measures.values())
    assert set(WORDS) == set(DEFAULTS)
    assert sorted(name for names, _ in SECTIONS.values() for name in names) == sorted(DEFAULTS)


def test_the_defaults_are_those_of_the_page() -> None:
    """Its table has a line for each kind of row; of two margins the second is that of the parts."""
    page = Path(__file__).parents[3] / "docs" / "how-to" / "certificate-of-use.md"
    table = [line.split("|")[1:-1] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    said = {cell[0].strip(): [_margin(text) for text in cell[3].split(";")] for cell in table[1:]}
    names = {
        "recognised": ["recognised", "recognised_class"],
        "confusion": ["confusion"],
        "tone order (Spearman)": ["tone_order"],
        "tone measured": ["tone_measured"],
        "tone, degrees": ["tone_degrees"],
        "copies of training images": ["copies"],
        "classifier's gain": ["gain", "gain_group"],
    }
    expected = {row: [DEFAULTS[name] for name in of] for row, of in names.items()}
    for name in ("recall", "coverage", "vendi"):
        assert [DEFAULTS[name], DEFAULTS[f"{name}_class"]] == said["recall, coverage, Vendi score"]
    for name in ("tone_range", "tone_spread"):
        assert [DEFAULTS[name]] == said["tone range (5 to 95 %), tone spread"]
    assert expected == {row: margins for row, margins in said.items() if row in expected}
    assert len(said) == len(expected) + 2


def _margin(text: str) -> Margin:
    """±0.02, at least 0.95, at most 0.01 or 0.8 to 1.25; after the first one the words are left out."""
    numbers = [float(one) for one in re.findall(r"[\d.]+", text)]
    if "±" in text:
        return Margin(-numbers[0], numbers[0])
    if len(numbers) == 2:
        return Margin(*numbers)
    return Margin(None, numbers[0]) if "at most" in text else Margin(numbers[0], None)


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "margins.json"
    file.write_text('{"gain": [-0.03, null], "recall": [0.8, 1.5]}')
    found = read_margins(file)
    assert found.of["gain"] == Margin(-0.03, None)
    assert found.of["recall"] == Margin(0.8, 1.5)
    assert found.of["copies"] == DEFAULTS["copies"]
    assert found.sha256 == digest_file(file)
    assert read_margins(None).of == DEFAULTS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"gains": [-0.02, 0.02]}, "no measure is called gains; expected recognised"),
        ({"gain": [0.02, -0.02]}, "the margin of gain is \\[0.02, -0.02\\]; expected one that holds 0"),
        ({"recall": [-0.1, 0.1]}, "expected one that holds 1"),
        ({"gain": [None, None]}, "the margin of gain"),
        ({"gain": [None, float("inf")]}, "gain.*finite number"),
        ({"gain": [float("nan"), 1]}, "gain.*finite number"),
        ({"gain": 0.02}, "gain: .*expected JSON such as"),
        ({"gain": ["a", 1]}, "gain"),
    ],
)
def test_what_is_no_margin_is_refused(content: object, said: str, tmp_path: Path) -> None:
    file = tmp_path / "margins.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=said):
        read_margins(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file of margins at"):
        read_margins(tmp_path / "none.json")
