"""Cells are compared at equal n, small ones are named, and no metric takes repeated images for more certainty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from image_helpers import clouds, features

from evalsuite.images.quality.cmmd import cmmd
from evalsuite.images.quality.fid import fid
from evalsuite.images.quality.kid import kid
from evalsuite.images.quality.prdc import prdc
from evalsuite.images.quality.quality_table import quality_table
from evalsuite.images.quality.utility import utility_table
from evalsuite.images.quality.vendi import vendi
from evalsuite.stats.estimate import bootstrap_mean, bootstrap_of


def test_every_cell_of_a_family_has_the_same_n() -> None:
    cells = quality_table(features(240), features(300, seed=1), resamples=5)
    measured = cells[cells["metric"] == "KD[plain]"]
    assert (measured.groupby("family")["n"].nunique() == 1).all()
    assert set(measured["family"]) == {"overall", "class", "group", "strategy", "class x group", "floor"}
    assert cells["metric"].iloc[0] == "KD[plain]"  # the unbiased one in front


def test_small_cells_are_named_and_do_not_shrink_the_others() -> None:
    synthetic = features(300, seed=1)
    synthetic.frame.loc[:3, "group"] = "rare"
    cells = quality_table(features(240), synthetic, resamples=5, kinds=("group",))
    rare = cells[cells["cell"] == "rare"]
    assert len(rare) == 1
    assert np.isnan(rare.iloc[0]["value"])
    assert "20 of each are the least" in rare.iloc[0]["note"]
    assert cells[cells["cell"] == "light"]["n"].max() >= 100


def test_a_floor_at_another_n_says_so() -> None:
    """A Frechet distance falls with n, so halves of a small real set are no floor for it."""
    cells = quality_table(features(100), features(300, seed=1), resamples=5, kinds=("overall",))
    floor = cells[cells["family"] == "floor"]
    assert (floor["n"] == 50).all()
    assert floor["note"].str.contains("compare the kernel distance only").all()


def test_the_halves_of_the_floor_share_no_patient() -> None:
    """Two images of a patient are nearly equal: split over both halves they would be a floor that nothing reaches."""
    real = features(240)
    real.values[1::2] = real.values[::2]
    apart = replace(real, frame=real.frame.assign(cluster=[f"patient-{i // 2}" for i in range(240)]))
    floor: list[Any] = [
        quality_table(x, features(240, seed=1), resamples=5, kinds=("overall",))
        .set_index(["family", "metric"])
        .loc[("floor", "density[plain]"), "value"]
        for x in (real, apart)
    ]
    assert floor[0] > 0.85 > 0.75 > floor[1]


def test_what_was_made_from_one_photograph_makes_no_interval_narrower() -> None:
    """Eight images of each of 30 photographs: 240 images that are 30 in truth, in every metric that has an interval."""
    real, alone = features(240), features(240, seed=1)
    place = np.arange(240) // 24 * 3 + np.arange(240) % 3  # the class stays
    alone.frame.loc[place % 5 == 0, "class"] = "c0"  # a fifth of the photographs is labelled wrong, so shares can vary
    alone.values[:] = alone.values[place] + np.random.default_rng(2).normal(0, 0.01, (240, 8))
    of_a_few = replace(alone, frame=alone.frame.assign(parent=[f"photo-{k}" for k in place]))
    widths = []
    for made in (alone, of_a_few):
        table = quality_table(real, made, resamples=40, kinds=("overall",))
        table = table[table["family"] == "overall"].set_index("metric")
        widths.append(table["high"] - table["low"])
    for metric in (
        "KD[plain]",
        "FD[plain]",
        "MMD[plain]",
        "precision[plain]",
        "density[plain]",
        "Vendi, synthetic[plain]",
    ):
        assert widths[1][metric] > 1.3 * widths[0][metric], metric
    tables: list[Any] = [
        utility_table(real, made, resamples=200).set_index(["family", "metric"]) for made in (alone, of_a_few)
    ]
    same, fewer = (t.loc[[("overall", "real to synthetic [plain]")]].iloc[0] for t in tables)
    assert same["value"] == fewer["value"]
    assert fewer["high"] - fewer["low"] > 1.3 * (same["high"] - same["low"])


REPEATED = 5


MEASURES = {
    "kernel distance": lambda x, y, a, b: kid(x, y, families=(a, b)),
    "Frechet distance": lambda x, y, a, b: fid(x, y, families=(a, b)),
    "CMMD": lambda x, y, a, b: cmmd(x, y, families=(a, b)),
    "precision": lambda x, y, a, b: prdc(x, y, k=5 * REPEATED, families=(a, b)).precision,
    "density": lambda x, y, a, b: prdc(x, y, k=5 * REPEATED, families=(a, b)).density,
    "coverage": lambda x, y, a, b: prdc(x, y, k=5 * REPEATED, families=(a, b)).coverage,
    "Vendi": lambda x, y, a, b: vendi(y, family=b),
    "mean": lambda x, y, a, b: bootstrap_mean(y[:, 0], family=b),
    "correlation": lambda x, y, a, b: bootstrap_of(
        lambda u, v: float(np.corrcoef(u, v)[0, 1]), y[:, 0], y[:, 1], family=b
    ),
}


@pytest.mark.parametrize("name", list(MEASURES))
def test_repeating_images_adds_no_certainty(name: str) -> None:
    """Five copies of each image as one family give about the interval of the images alone; as single ones, half."""
    x, y = clouds(60, 60, 4, shift=0.6)
    x5, y5 = (np.repeat(side, REPEATED, axis=0) + np.random.default_rng(1).normal(0, 1e-3, (300, 4)) for side in (x, y))
    family = np.repeat(np.arange(60), REPEATED)

    def width(family: np.ndarray | None) -> float:
        found = MEASURES[name](x5, y5, family, family)
        assert found.low <= found.value <= found.high
        return found.high - found.low

    assert width(None) < 0.65 * width(family)
    if name not in ("precision", "density", "coverage"):  # whose k counts the copies
        alone = {"Vendi": vendi(y), "mean": bootstrap_mean(y[:, 0])}.get(name) or MEASURES[name](x, y, None, None)
        assert width(family) == pytest.approx(alone.high - alone.low, rel=0.25)
