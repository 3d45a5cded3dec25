"""The classifier's gain from synthetic images, class by class: read from a table or computed from a finished run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from dermforge.common.errors import UserError
from dermforge.common.tables import read_table
from evalsuite.study.arm_scores import arm_predictions
from evalsuite.study.design import read_design


def read_gains(place: Path) -> pd.DataFrame:
    """Columns class and gain (of recall, in points of 1), from a CSV or from the folder of an `evalsuite run`.

    Raises
    ------
    UserError
        `place` is neither, or the table lacks a column or has a gain that is not a number.
    """
    if place.is_dir():
        return _of_run(place)
    if not place.is_file():
        raise UserError(f"{place}: no such file; expected a CSV with the columns class and gain, or a run's folder")
    table = read_table(place)
    if not {"class", "gain"} <= set(table.columns):
        raise UserError(f"{place} has the columns {', '.join(table.columns)}; expected class and gain")
    gain = pd.to_numeric(table["gain"], errors="coerce")
    if gain.isna().any():
        wrong = table.loc[gain.isna()].iloc[0]
        raise UserError(f"{place}: the gain of {wrong['class']} is {wrong['gain']!r}; expected a number")
    return pd.DataFrame({"class": table["class"], "gain": gain})


def _of_run(folder: Path) -> pd.DataFrame:
    """Recall of each class with synthetic images minus recall without, mean over seeds."""
    design = read_design(folder)
    if design.kind != "run":
        raise UserError(f"{folder} holds a study; expected the folder of `evalsuite run`")
    recalls: dict[str, list[pd.Series]] = {"real": [], "mix": []}
    for arm in design.arms():
        found = arm_predictions(folder, arm)
        right = found.probs.argmax(axis=1) == found.labels
        recalls[arm.kind].append(pd.Series(right).groupby(np.array(found.classes)[found.labels]).mean())
    real, mix = (pd.concat(parts, axis=1).mean(axis=1) for parts in recalls.values())
    return (mix - real).rename("gain").rename_axis("class").reset_index()
