"""The classifier's gain: with real images alone, with the teacher's images, and with as many of the student's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dermforge.common.errors import UserError
from evalsuite.fairness import predictions
from evalsuite.fairness.predictions import Predictions
from evalsuite.stats.intervals import undefined
from evalsuite.study import arm as arms
from evalsuite.study import run_arms
from evalsuite.study.arm import Arm
from evalsuite.study.arm_scores import ALL, group_masks
from evalsuite.study.outcomes import outcome
from evalsuite.study.paired_scores import Score, resamples
from evalsuite.training.data import datasets
from evalsuite.training.recipe import Recipe
from evalsuite.use.comparison import Comparison

SIDES = ("real", "teacher", "student")


@dataclass(frozen=True)
class Trial:
    """How the three classifiers are trained.

    Attributes
    ----------
    recipe
        Its `ratio` is the most synthetic images for each real one; both sides get as many as both have.
    n_real
        Real images per class; 0: all.
    seeds
        Training runs of each; they are the repeats over which the gain is averaged.
    """

    recipe: Recipe
    n_real: int = 0
    seeds: int = 3


@dataclass(frozen=True)
class Gains:
    """The gain overall and in each skin type, and the ratio that both sides were trained with."""

    rows: tuple[Comparison, ...]
    ratio: float


def train(
    real: Path, sides: Mapping[str, Path], out: Path, trial: Trial, options: run_arms.Options = run_arms.Options()
) -> tuple[dict[str, list[Predictions]], float]:
    """Predictions on the real test images of each seed of each side, and the ratio. An interrupted trial resumes.

    Parameters
    ----------
    real
        A folder with train/, validation/ and test/.
    sides
        The synthetic sets by name.
    """
    recipe, seeds = trial.recipe, range(trial.seeds)
    places = {name: datasets.Places(real=real, synthetic=(folder,), size=recipe.size) for name, folder in sides.items()}
    places["real"] = datasets.Places(real=real, size=recipe.size)
    drawn = [recipe.seed + seed for seed in seeds]
    ratio = min(recipe.ratio, *(_possible(datasets.open_data(places[name]), trial.n_real, drawn) for name in sides))
    found = {}
    for name in SIDES:
        own = recipe.model_copy(update={"ratio": 0.0 if name == "real" else ratio})
        made = [
            Arm(
                kind="real" if name == "real" else "mix",
                n_real=trial.n_real,
                recipe=own.model_copy(update={"seed": seed}),
            )
            for seed in drawn
        ]
        run_arms.run(made, places[name], out / name, replace(options, keep=False), f"train: {name}")
        files = [out / name / run_arms.FOLDER / arm.name / arms.PREDICTIONS for arm in made]
        found[name] = [predictions.load(file) for file in files]
    return found, ratio


def _possible(data: datasets.Data, n_real: int, seeds: list[int]) -> float:
    """Synthetic images of the scarcest class for each real one."""
    held, scarce = data.scarcest(n_real, seeds)
    if not held:
        raise UserError(f"there are no synthetic images of {scarce}, so no gain can be measured")
    return int(1000 * held / (n_real or data.train.n / len(data.classes))) / 1000


def compare(
    tables: Mapping[str, list[Predictions]], groups: Collection[str] = (), n_boot: int = 1000
) -> Iterator[Comparison]:
    """Student's gain less teacher's, of each test image and seed, in all images and in each skin type.

    The gains share their real-only classifiers, so that their difference is that of the two scores.

    Parameters
    ----------
    groups
        Skin types of the synthetic images. One without a test image has a row that says so.
    """
    base = tables["real"][0]
    drawn = resamples(base, len(tables["real"]), n_boot)
    hits = {name: [outcome(table, base, "accuracy") for table in found] for name, found in tables.items()}
    for group, mask in group_masks(base).items():
        score = {name: drawn.score(found, mask, "accuracy") for name, found in hits.items()}
        gains = {name: score[name].minus(score["real"]) for name in ("teacher", "student")}
        change = score["student"].minus(score["teacher"])
        yield Comparison(
            "gain" if group == ALL else "gain_group",
            group,
            change.n,
            gains["teacher"].value,
            gains["student"].value,
            change.value,
            change.interval,
            change.lacking,
            _sensitivity(gains["teacher"]) if group == ALL else "",
        )
    tested = set(base.groups["group"].astype(str)) if "group" in base.groups else set()
    for group in sorted(set(groups) - tested):
        yield _unmeasured("gain_group", group, f"no test image is of the skin type {group}")


def _sensitivity(teacher: Score) -> str:
    """Equal gains say little where the teacher's own images were not shown to change anything (ICH E10, 1.5)."""
    low, high = teacher.interval()
    if teacher.lacking or not np.isfinite(low) or low > 0:
        return ""
    return (
        f"the teacher's own images are not shown to help (95 % interval {low:+.3f} to {high:+.3f}), so that an equal "
        "gain says little"
    )


def unmeasured() -> Comparison:
    """Where no classifier was trained."""
    return _unmeasured("gain", ALL, "not measured: no classifier was trained (0 seeds)")


def _unmeasured(measure: str, cell: str, why: str) -> Comparison:
    return Comparison(measure, cell, 0, np.nan, np.nan, np.nan, undefined, why)
