"""A filter is itself judged: the same classifier on equally many synthetic images, drawn with and without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dermforge.common.errors import UserError
from evalsuite.fairness import predictions
from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.page.measurement import Measurement, Status, frame_table
from evalsuite.stats.estimate import Estimate
from evalsuite.study import arm as arms
from evalsuite.study import run_arms
from evalsuite.study.arm import Arm
from evalsuite.study.paired_scores import MIN_ITEMS, Resamples, Score, correct, resamples
from evalsuite.training.data import datasets
from evalsuite.training.data.datasets import Data
from evalsuite.training.recipe import Recipe

SIDES = ("without", "with")
MARGIN = 0.02  # differences of the accuracy up to this do not matter


@dataclass(frozen=True)
class Trial:
    """One row all and one a skin type: group, n, without, with, difference (paired), verdict."""

    table: pd.DataFrame
    n_real: int
    ratio: float
    seeds: int


def conduct(
    real: Path,
    synthetic: Path,
    kept: Sequence[str],
    out: Path,
    *,
    n_real: int,
    recipe: Recipe,
    seeds: int,
    n_boot: int = 1000,
    workers: int | None = None,
    allow_leakage: bool = False,
) -> Trial:
    """Train on all synthetic images and on the kept ones, at one ratio, and compare on the real test images.

    Parameters
    ----------
    real
        A folder with train/, validation/ and test/.
    n_real
        Real images per class; 0: all.
    recipe
        Its ratio is lowered to what the kept images allow, on both sides.

    Raises
    ------
    UserError
        A class has no kept image, or too few real ones.
    """
    places = datasets.Places(real=real, synthetic=(synthetic,), size=recipe.size)
    filtered = places.model_copy(update={"keep": tuple(sorted(kept))})
    drawn = [recipe.seed + s for s in range(seeds)]
    ratio = min(recipe.ratio, _possible(datasets.open_data(filtered), n_real, drawn))
    made = [Arm(kind="mix", n_real=n_real, recipe=recipe.model_copy(update={"ratio": ratio, "seed": s})) for s in drawn]
    datasets.check_held_out(datasets.open_data(places), allow_leakage)
    tables: dict[str, list[Predictions]] = {}
    for side in SIDES:
        run_arms.run(
            made,
            places if side == "without" else filtered,
            out / side,
            workers=workers,
            keep=False,
            allow_leakage=allow_leakage,
            what=f"{side} the filter",
        )
        tables[side] = [predictions.load(out / side / run_arms.FOLDER / arm.name / arms.PREDICTIONS) for arm in made]
    return Trial(compare(tables, n_boot), n_real, ratio, seeds)


def _possible(data: Data, n_real: int, seeds: Sequence[int]) -> float:
    """Kept images of the scarcest class for each real one; what was made from a real image not drawn cannot be used."""
    if data.synthetic is None or not data.synthetic.n:
        raise UserError("the filter keeps no image; it cannot be judged: loosen --rejection")
    held, scarce = data.scarcest(n_real, seeds)
    if not held:
        raise UserError(f"the filter keeps no image of {scarce}; it cannot be judged: loosen --rejection")
    return int(1000 * held / (n_real or data.train.n / len(data.classes))) / 1000


def compare(tables: dict[str, list[Predictions]], n_boot: int = 1000) -> pd.DataFrame:
    """The paired table from the predictions of both sides, a table a seed, all of the same test images."""
    base = tables["without"][0]
    drawn = resamples(base, len(tables["without"]), n_boot)
    right = {side: [correct(t, base) for t in found] for side, found in tables.items()}
    masks = {"all": np.ones(base.n, dtype=bool)}
    if "group" in base.groups:
        names = base.groups["group"].to_numpy(str)
        masks |= {name: names == name for name in levels(names.tolist()) if name != "all"}
    return pd.DataFrame(
        [{"group": name, **_row(drawn, right, mask)} for name, mask in masks.items() if mask.sum() >= MIN_ITEMS]
    )


def _row(drawn: Resamples, right: dict[str, list[np.ndarray]], mask: np.ndarray) -> dict[str, object]:
    scores = {side: drawn.score(found, mask, "accuracy") for side, found in right.items()}
    difference = _estimate(scores["with"].minus(scores["without"]))
    return {
        "n": int(mask.sum()),
        **{side: _estimate(s) for side, s in scores.items()},
        "difference": difference,
        "verdict": _verdict(difference),
    }


def _estimate(score: Score) -> Estimate:
    return Estimate(score.value, *score.interval(), score.n)


def _verdict(difference: Estimate) -> str:
    if difference.low > 0:
        return "helps"
    if difference.high < 0:
        return "hurts"
    return "no difference" if difference.low > -MARGIN and difference.high < MARGIN else "cannot be told"


def trial_section(trial: Trial) -> Measurement:
    """The part of the report on whether the filter was worth it."""
    whole = trial.table.iloc[0]
    real = f"{trial.n_real} real images per class" if trial.n_real else "all real images"
    text = f"With {real}, {trial.ratio:g} synthetic ones for each and {trial.seeds} "
    text += f"seeds, filtering changes the accuracy by {whole['difference'].text()}: {whole['verdict']}."
    hurt = [str(g) for g in trial.table.loc[trial.table["verdict"] == "hurts", "group"]]
    text += f" It hurts {', '.join(hurt)}." if hurt else ""
    status: Status = "bad" if hurt else "good" if whole["verdict"] in ("helps", "no difference") else "unknown"
    groups = trial.table["group"] != "all"
    caption = "Accuracy on real test images without and with the filter, paired"
    return Measurement(
        "The filter judged",
        text,
        status,
        {
            "utility": [frame_table(trial.table[~groups], caption)],
            "fairness": [frame_table(trial.table[groups], "The same by skin type")],
        },
    )
