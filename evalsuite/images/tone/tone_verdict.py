"""The verdict on tone: as good as in real images of the same set, worse, or not to be told."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evalsuite.images.tone.measure_ita import LIGHTING_CAVEAT
from evalsuite.images.tone.tone_table import MIN_CELL
from evalsuite.page.image_check import Status
from evalsuite.stats.estimate import Estimate
from evalsuite.stats.largest_difference import Side, mover

SHIFT = 5.0  # degrees from real images that matter: less than half of the narrowest group
MARGIN = 0.1  # of a rank correlation or a share, by which synthetic images may fall short of real ones
PERFECT = Estimate(1.0, 1.0, 1.0, 0)


def verdict(cells: pd.DataFrame, real: pd.DataFrame | None = None) -> tuple[str, Status]:
    """A sentence and a status for the whole set.

    The bar is what real images of the same set reach: tone measured in photographs follows the skin types that people
    gave only in part. Without real images the bar is a perfect order, which no real images exceed, so falling short of
    it says nothing. A skin type that comes out wrong is named, and the set is then not good.

    Parameters
    ----------
    cells, real
        Cells of the judged and of the real images (`cell_table`).
    """
    row = cells[cells["family"] == "overall"].iloc[0]
    if np.isnan(row["ita_median"]):
        return f"The tone of no image can be measured ({row['why']}).", "unknown"
    bar = None if real is None else real[real["family"] == "overall"].iloc[0]
    if bar is not None and np.isnan(bar["spearman"].value):
        bar = None
    wrong = off_tone(cells)
    said, reached = _order(row, bar)
    text = f"The typology angle has a median of {row['ita_median']:.0f} degrees (5 to 95 %: {row['ita_q05']:.0f} to "
    text += f"{row['ita_q95']:.0f}). {measured(row)} {said} "
    text += f"Off tone: {'; '.join(wrong)}. " if wrong else ""
    return text + LIGHTING_CAVEAT, "warn" if wrong and reached != "bad" else reached


def measured(row: pd.Series) -> str:
    """How many images of a cell have a measured tone, and why the others have none."""
    n, missing = int(row["n"]), int(row["not_measured"])
    if not missing:
        return f"It was measured in all {n:,} images."
    return f"It was measured in {n - missing:,} of {n:,} images ({1 - missing / n:.0%}); not in: {row['why']}."


def _order(row: pd.Series, bar: pd.Series | None) -> tuple[str, Status]:
    """What the order of tones and their distance from the request say."""
    order, within = row["spearman"], row["within_one"]
    if np.isnan(order.value):
        return "The order cannot be judged: fewer than two requested tones are known.", "unknown"
    text = f"Requested and measured tone correlate with Spearman {order.text(2)}; {within.text(2)} of the images lie "
    text += "within one group of the request. "
    if bar is not None:
        text += f"Real images: {bar['spearman'].text(2)} and {bar['within_one'].text(2)}. "
    best = (PERFECT, PERFECT) if bar is None else (bar["spearman"], bar["within_one"])
    found = {_compared(mine, real) for mine, real in zip((order, within), best, strict=True)}
    if order.high < 0:
        return text + "The order is reversed.", "bad"
    if found == {"good"}:
        known = "That is as good as in real images." if bar is not None else "Real images could hardly reach more."
        return text + known, "good"
    if bar is None:
        missing = "no reference has enough of them with two skin types"
        return text + f"Whether real images reach more cannot be determined: {missing}.", "unknown"
    if "bad" in found:
        return text + "That is worse than in real images.", "bad"
    return text + "Whether that is as good as in real images cannot be determined.", "unknown"


def _compared(mine: Estimate, real: Estimate) -> Status:
    """Not worse than real by more than the margin, worse, or neither for sure; both have 95 % intervals."""
    low, high = mover(_side(mine), _side(real), 0.95)
    if low >= -MARGIN:
        return "good"
    return "bad" if high < -MARGIN else "unknown"


def _side(found: Estimate) -> Side:
    """Its interval is that of 95 %, at which alone it is asked for."""
    return Side(found.value, lambda confidence: (found.low, found.high))


def off_tone(cells: pd.DataFrame) -> list[str]:
    """Skin types whose tone is shifted beyond chance, in words; they may still lie within one group of the request.

    If there are real images of the skin type: shifted by more than `SHIFT` from their angles. Otherwise: most images
    lie outside the range of angles that the request stands for.
    """
    found = []
    for row in cells[cells["family"] == "group"].to_dict("records"):
        drift, exact, off = row["drift"], row["exact"], row["degrees_off"]
        if not np.isnan(drift.value):
            if drift.low > SHIFT or drift.high < -SHIFT:
                found.append(f"{row['cell']} ({_direction(drift.value)} than real images of it)")
        elif exact.n >= MIN_CELL and exact.high < 0.5:
            found.append(f"{row['cell']} ({1 - exact.value:.0%} miss its range, on average {_direction(off.value)})")
    return found


def _direction(degrees: float) -> str:
    return f"{abs(degrees):.0f} degrees {'lighter' if degrees > 0 else 'darker'}"
