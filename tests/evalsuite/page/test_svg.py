"""Plots are well-formed, named, self-contained and repeatable."""

from __future__ import annotations

from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

from evalsuite import selfcheck
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.compute_card import compute_card
from evalsuite.page import card_plots, curves, prediction_plots, svg
from evalsuite.selfcheck import Group

SVG = "{http://www.w3.org/2000/svg}"
#: What linear RGB becomes without one of the three cones: Machado 2009, severity 1.
SIGHT = {
    "whole": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)  # of linear sRGB
WHITE = XYZ.sum(axis=1)


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    own = selfcheck.table([Group("<b>&", 120, 0.8), Group("$\\frac", 120, 0.6), Group("few", 6, 0.7)], 0)
    card = compute_card(own, ["fst"], CardSettings())
    curve = curves.Curve("real & synthetic", [(x, 0.5 + x / 20, 0.4, 0.8) for x in (0, 1, 2, 5)])
    return {
        "forest": card_plots.forest(card, "fst"),
        "gaps": card_plots.gaps(card, "fst"),
        "reliability": prediction_plots.reliability(own, "fst"),
        "roc": prediction_plots.roc(own, "fst", n_boot=20),
        "roc of a class": prediction_plots.roc(own, "fst", "nodule", n_boot=20),
        "doses": curves.plot_curves(
            [curve], title="dose", x_label="ratio", y_label="accuracy", marks=[(2, "saturation")]
        ),
    }


@pytest.mark.parametrize("name", ["forest", "gaps", "reliability", "roc", "roc of a class", "doses"])
def test_well_formed_named_and_self_contained(drawn: dict[str, str], name: str) -> None:
    """Parses as XML whatever the group names, has alternative text, and points at nothing outside itself."""
    root = ElementTree.fromstring(drawn[name])
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert root.find(f"{SVG}title") is not None
    assert root.find(f"{SVG}desc") is not None
    for element in root.iter():
        for key, value in element.attrib.items():
            if key.endswith("href"):
                assert value.startswith("#")


def test_alternative_text_tells_the_numbers(drawn: dict[str, str]) -> None:
    """A screen reader hears the values, and which group has not enough data."""
    text = ElementTree.fromstring(drawn["forest"]).get("aria-label") or ""
    assert "not enough data" in text
    assert "<b>&: 0." in text


def test_equal_input_gives_equal_bytes() -> None:
    """No dates, no random ids."""
    curve = curves.Curve("a", [(0, 0.5, 0.4, 0.6), (1, 0.6, 0.5, 0.7)])
    first, second = (curves.plot_curves([curve], title="t", x_label="x", y_label="y") for _ in range(2))
    assert first == second


@pytest.mark.filterwarnings("error")
def test_tiny_groups_with_long_names_leave_room_for_the_axes() -> None:
    """Names of a hundred letters and two rows each: the layout holds, and a screen reader hears the whole name."""
    names = ["a" * 100, "b" * 100, "c"]
    own = selfcheck.table([Group(name, 2, 0.6) for name in names], 0)
    card = compute_card(own, ["fst"], CardSettings())
    curve = curves.Curve(names[0], [(4, 0.5, 0.4, 0.6)])
    for drawn in (
        card_plots.forest(card, "fst"),
        prediction_plots.roc(own, "fst", n_boot=20),
        prediction_plots.reliability(own, "fst"),
        curves.plot_curves([curve], title="dose", x_label="x", y_label="y", marks=[(4, names[1])]),
    ):
        root = ElementTree.fromstring(drawn)
        assert names[0] in (root.get("aria-label") or "")
        assert not [text for text in root.iter(f"{SVG}text") if names[0] in "".join(text.itertext())]
    card_plots.gaps(card, "fst")


def lab(colour: str, sight: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE L*a*b* of a hex colour as it is seen."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = sight @ np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in XYZ @ linear.clip(0, 1) / WHITE)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_colour_blind_readers_tell_the_lines_apart(sight: str) -> None:
    """Colours fifteen just noticeable differences apart without any one cone; and a marker and a dash of their own."""
    seen = [lab(colour, SIGHT[sight]) for colour in svg.PALETTE]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 15
    for marks in (svg.MARKERS, svg.DASHES):
        assert len(set(marks)) == len(svg.PALETTE)
