"""Tables of predictions with a known truth: groups, classes, patients whose images are alike, and planted losses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from evalsuite.fairness import metrics
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.predictions import Predictions

CLASSES = ("naevus", "melanoma", "keratosis")
SIX = ("I", "II", "III", "IV", "V", "VI")
#: Rows that a truth is computed from.
MANY = 200_000
#: Tables that the AUROC of few patients is a mean over.
TABLES = 1_000


@dataclass(frozen=True)
class Design:
    """How a table is drawn.

    Attributes
    ----------
    sizes
        Rows of each group.
    prevalence
        Of each class, two or three.
    separation
        How far the class of a row lies above the others, in standard deviations of the scores.
    lost
        Separation that a group lacks, by its place.
    patients
        Patients of each group; 0: each row stands alone.
    alike
        Standard deviation of what the images of a patient share.
    """

    sizes: tuple[int, ...]
    prevalence: tuple[float, ...] = (0.5, 0.2, 0.3)
    separation: float = 1.6
    lost: tuple[float, ...] = ()
    patients: int = 0
    alike: float = 0.0

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES[: len(self.prevalence)]

    @property
    def groups(self) -> tuple[str, ...]:
        return (
            SIX[: len(self.sizes)] if len(self.sizes) <= len(SIX) else tuple(f"g{i:02}" for i in range(len(self.sizes)))
        )

    def lack(self, group: int) -> float:
        return self.lost[group] if group < len(self.lost) else 0.0


def draw(rng: np.random.Generator, design: Design, prefix: str = "i") -> Predictions:
    """A table; calibrated where nothing is lost."""
    parts = [_rows(rng, design, group, size) for group, size in enumerate(design.sizes)]
    probs, labels, patients = (np.concatenate(part) for part in zip(*parts, strict=True))
    n = len(labels)
    return Predictions(
        np.array([f"{prefix}{i:06}" for i in range(n)]),
        design.classes,
        labels,
        probs,
        pd.DataFrame({"fst": np.repeat(design.groups, design.sizes)}),
        patients.astype(str) if design.patients else None,
    )


def _rows(rng: np.random.Generator, design: Design, group: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels and patients of one group; patients have unequal numbers of images."""
    k = len(design.prevalence)
    count = min(design.patients, size) if design.patients else size
    shares = rng.dirichlet(np.full(count, 3.0)) if design.patients else np.full(count, 1 / count)
    patient = np.r_[np.arange(count), rng.choice(count, size - count, p=shares)]
    labels = rng.choice(k, size, p=design.prevalence)
    separation = design.separation - design.lack(group)
    scores = rng.normal(size=(size, k)) * np.sqrt(1 - min(design.alike, 0.95) ** 2)
    scores += design.alike * rng.normal(size=(count, k))[patient]
    scores += separation * np.eye(k)[labels]
    logits = design.separation * scores + np.log(design.prevalence)
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    return probs / probs.sum(axis=1, keepdims=True), labels.astype(np.int64), patient + 1_000_000 * group


@cache
def truth(design: Design, group: int) -> dict[MetricKey, float]:
    """Every metric of a group in a table without end.

    An AUROC also compares images of one patient with each other, which are alike. How many of its pairs are such
    depends on the number of patients, so that of a few patients is the mean over many tables of as many.
    """
    rng, lack = np.random.default_rng(0), (design.lack(group),)
    patients = MANY // 4 if design.patients else 0
    found = _values(draw(rng, replace(design, sizes=(MANY,), lost=lack, patients=patients)))
    if design.patients:
        size = design.sizes[group]
        tables = [_values(draw(rng, replace(design, sizes=(size,), lost=lack))) for _ in range(TABLES)]
        ranked = [key for key in found if key.kind == "auroc"]
        found |= {key: float(np.nanmean([table[key] for table in tables])) for key in ranked}
    return found


def _values(table: Predictions) -> dict[MetricKey, float]:
    return metrics.one(metrics.score(table.probs, table.labels, table.classes))


@cache
def true_sensitivity(design: Design, group: int, cls: int, specificity: float) -> float:
    """Of a class at the threshold with this specificity among all groups' negatives, in tables without end."""
    rng = np.random.default_rng(1)
    share = np.array(design.sizes) / sum(design.sizes)
    sizes = tuple(int(MANY * part) for part in share)
    whole = draw(rng, Design(sizes, design.prevalence, design.separation, design.lost, 0, design.alike))
    cut = np.quantile(whole.probs[whole.labels != cls, cls], specificity)
    own = (whole.labels == cls) & (whole.groups["fst"] == design.groups[group]).to_numpy()
    return float((whole.probs[own, cls] >= cut).mean())
