"""A trial of the filter: the same classifier trained on equally many synthetic images, with and without filtering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from dermforge.common.errors import UserError
from evalsuite.fairness import predictions
from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.page.image_check import ImageCheck, Status, frame_table
from evalsuite.stats.estimate import Estimate
from evalsuite.stats.verdict import verdict
from evalsuite.study import arm as arms
from evalsuite.study import run_arms
from evalsuite.study.arm import Arm
from evalsuite.study.outcomes import outcome
from evalsuite.study.paired_scores import Resamples, resamples
from evalsuite.training.data import datasets, held_out
from evalsuite.training.data.datasets import Data
from evalsuite.training.recipe import Recipe

SIDES = ("without", "with")
MARGIN = 0.02  # differences of the accuracy up to this do not matter


@dataclass(frozen=True)
class TrialDesign:
    """How both sides are trained: with the ratio of the recipe, or the lower one that the kept images allow."""

    recipe: Recipe
    n_real: int = 0  # real images per class; 0: all
    seeds: int = 3  # training runs of each side
    note: str = ""  # what its report must say of it


@dataclass(frozen=True)
class Trial:
    """A row for all images and one per skin type: group, n, without, with, difference (paired), verdict."""

    table: pd.DataFrame
    design: TrialDesign
    ratio: float  # synthetic images per real one, on both sides


def conduct(
    real: Path,
    synthetic: Path,
    kept: Sequence[str],
    out: Path,
    design: TrialDesign,
    options: run_arms.Options = run_arms.Options(),
) -> Trial:
    """Train on all synthetic images and on the kept ones, at one ratio, and compare on the real test images.

    Parameters
    ----------
    real
        A folder with train/, validation/ and test/.
    kept
        Ids of the images that the filter keeps; UserError where a class has none.
    """
    recipe, n_real = design.recipe, design.n_real
    places = datasets.Places(real=real, synthetic=(synthetic,), size=recipe.size)
    filtered = places.model_copy(update={"keep": tuple(sorted(kept))})
    drawn = [recipe.seed + s for s in range(design.seeds)]
    ratio = min(recipe.ratio, _possible(datasets.open_data(filtered), n_real, drawn))
    made = [Arm(kind="mix", n_real=n_real, recipe=recipe.model_copy(update={"ratio": ratio, "seed": s})) for s in drawn]
    held_out.check_held_out(datasets.open_data(places), options.allow_leakage)
    tables: dict[str, list[Predictions]] = {}
    for side in SIDES:
        used, what = places if side == "without" else filtered, f"{side} the filter"
        run_arms.run(made, used, out / side, replace(options, keep=False), what)
        tables[side] = [predictions.load(out / side / run_arms.FOLDER / arm.name / arms.PREDICTIONS) for arm in made]
    return Trial(compare(tables), design, ratio)


def _possible(data: Data, n_real: int, seeds: Sequence[int]) -> float:
    """Kept images of the scarcest class per real one; images made from a real image that is not drawn do not count."""
    if data.synthetic is None or not data.synthetic.n:
        raise UserError("the filter keeps no image, so it cannot be judged; allow it a larger rejection")
    held, scarce = data.scarcest(n_real, seeds)
    if not held:
        raise UserError(f"the filter keeps no image of {scarce}, so it cannot be judged; allow it a larger rejection")
    return int(1000 * held / (n_real or data.train.n / len(data.classes))) / 1000


def compare(tables: dict[str, list[Predictions]], n_boot: int = 1000) -> pd.DataFrame:
    """The paired table from the predictions of both sides: one table per seed, all on the same test images."""
    base = tables["without"][0]
    drawn = resamples(base, len(tables["without"]), n_boot)
    right = {side: [outcome(t, base, "accuracy") for t in found] for side, found in tables.items()}
    masks = {"all": np.ones(base.n, dtype=bool)}
    if "group" in base.groups:
        names = base.groups["group"].to_numpy(str)
        masks |= {name: names == name for name in levels(names.tolist()) if name != "all"}
    return pd.DataFrame([{"group": name, **_row(drawn, right, mask)} for name, mask in masks.items()])


def _row(drawn: Resamples, right: dict[str, list[np.ndarray]], mask: np.ndarray) -> dict[str, object]:
    scores = {side: drawn.score(found, mask, "accuracy") for side, found in right.items()}
    scores["difference"] = scores["with"].minus(scores["without"])
    change = scores["difference"]
    found = {name: Estimate(s.value, *s.interval(), s.n, not s.lacking) for name, s in scores.items()}
    word = verdict(change.value, *change.interval(), MARGIN, not change.lacking)
    return {"n": change.n, **found, "verdict": f"{word}: {change.lacking}" if change.lacking else word}


def trial_section(trial: Trial) -> ImageCheck:
    """The section of the page on whether the filter helps."""
    whole = trial.table.iloc[0]
    n_real, seeds = trial.design.n_real, trial.design.seeds
    real = f"{n_real} real images per class" if n_real else "all real images"
    changed = f"by {whole['difference'].text()}" if whole["difference"].enough else "by how much is not judged"
    text = f"With {real}, {trial.ratio:g} synthetic ones for each and {seeds} seeds, filtering changes the accuracy of "
    text += f"the classifier ({trial.design.recipe.summary()}), {changed}; {whole['verdict']}."
    hurt = [str(g) for g in trial.table.loc[trial.table["verdict"] == "hurts", "group"]]
    text += f" It hurts {', '.join(hurt)}." if hurt else ""
    text += f" {trial.design.note}" if trial.design.note else ""
    status: Status = "bad" if hurt else "good" if whole["verdict"] in ("helps", "no relevant difference") else "unknown"
    groups = trial.table["group"] != "all"
    caption = "Accuracy on real test images without and with the filter, paired"
    return ImageCheck(
        "Trial of the filter",
        text,
        status,
        {
            "utility": [frame_table(trial.table[~groups], caption)],
            "fairness": [frame_table(trial.table[groups], "The same by skin type")],
        },
    )
