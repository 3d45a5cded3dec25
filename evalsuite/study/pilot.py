"""What a pilot table says for planning: how good groups are, how many images a patient has and how alike they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from dermforge.common.missing import UNKNOWN
from evalsuite.fairness.metric_key import ShareMetric
from evalsuite.fairness.predictions import Predictions, levels
from evalsuite.fairness.same_images import in_order_of
from evalsuite.fairness.share_rows import share_rows

Array = NDArray[np.floating]
LEAST_PATIENTS = 5  # of a group, from which the images of a patient are drawn


@dataclass(frozen=True)
class Population:
    """Patients to draw from.

    Attributes
    ----------
    sizes
        Images that the metric counts of each patient who has any, int [patients].
    correlation
        Within a patient, 0 to 1 (intraclass, of analysis of variance; 0 where each image stands alone).
    """

    sizes: NDArray[np.int64]
    correlation: float

    @property
    def images_per_patient(self) -> float:
        return float(self.sizes.mean())


@dataclass(frozen=True)
class PilotGroup:
    """A group of the pilot.

    Attributes
    ----------
    images, patients
        All of it, also those that the metric does not count.
    rate
        The metric.
    share
        Of the pilot's images whose group is known.
    counted
        Share of the group's images that the metric counts.
    """

    name: str
    images: int
    patients: int
    rate: float
    share: float
    counted: float
    population: Population


@dataclass(frozen=True)
class PilotPair:
    """Two arms on the same images.

    Attributes
    ----------
    discordant
        Share of images where just one is right.
    lasting
        Share of the variance of an image's difference that other trainings would show again; 1 where one training of
        each arm cannot tell.
    seed_sd
        Spread of the difference of the arms between trainings; 0 with one training.
    """

    gain: float
    discordant: float
    lasting: float
    seed_sd: float
    trainings: int
    counted: float
    population: Population


def pilot_groups(table: Predictions, column: str, metric: ShareMetric, positive: str = "") -> list[PilotGroup]:
    """Every known group of a column.

    Raises
    ------
    UserError
        Fewer than two groups, or one of too few patients to draw from.
    """
    rows = share_rows(table, column, metric, positive)
    rows = rows[rows["group"] != UNKNOWN]
    names = levels(rows["group"])
    if len(names) < 2:
        raise UserError(f"{table.source}: {len(names)} groups in {column}; a gap needs two")
    counted = rows[rows["counts"]]
    centred = counted["right"] - counted.groupby("group")["right"].transform("mean")
    alike = correlation(centred.to_numpy(np.float64), counted["family"])
    found = []
    for name in names:
        own, used = rows[rows["group"] == name], counted[counted["group"] == name]
        sizes = _sizes(used["family"])
        if len(sizes) < LEAST_PATIENTS:
            raise UserError(
                f"{table.source}: {column} {name} has {len(sizes)} patients (or images) for the {metric}, at least "
                f"{LEAST_PATIENTS} are needed to draw from; merge it with a like group"
            )
        found.append(
            PilotGroup(
                name,
                len(own),
                own["family"].nunique(),
                float(used["right"].mean()),
                len(own) / len(rows),
                len(used) / len(own),
                Population(sizes, alike),
            )
        )
    return found


def pilot_pair(
    arms: Sequence[Predictions], baselines: Sequence[Predictions], metric: ShareMetric, positive: str = ""
) -> PilotPair:
    """Two arms, a table for each training of each; the first tables are of one pair of seeds, and so on.

    Raises
    ------
    UserError
        The tables hold different images, or the arms have other numbers of trainings.
    """
    if len(arms) != len(baselines):
        raise UserError(
            f"{len(arms)} tables against {len(baselines)}; expected as many trainings of one arm as of the other"
        )
    first = share_rows(arms[0], "", metric, positive)
    differences = np.array(
        [
            _right(arm, arms[0], metric, positive).astype(np.float64) - _right(other, arms[0], metric, positive)
            for arm, other in zip(arms, baselines, strict=True)
        ]
    )
    counts, family = first["counts"].to_numpy(bool), first["family"]
    d, family = differences[:, counts], family[counts]
    if len(d[0]) < LEAST_PATIENTS:
        raise UserError(f"{arms[0].source}: {len(d[0])} images for the {metric}, at least {LEAST_PATIENTS} are needed")
    by_seed, s = d.mean(axis=1), len(d)
    seed_sd, lasting = 0.0, 1.0
    if s > 1:
        residual = d - by_seed[:, None] - d.mean(axis=0) + d.mean()
        luck = float((residual**2).sum()) / ((s - 1) * (d.shape[1] - 1))
        whole = float(d.var(axis=1, ddof=1).mean())
        lasting = min(max(1 - luck / whole, 0.0), 1.0) if whole > 0 else 1.0
        # what the images' own luck adds to the spread of the means is not of the training
        seed_sd = math.sqrt(max(float(by_seed.var(ddof=1)) - luck / d.shape[1], 0.0))
    sizes = _sizes(family)
    alike = correlation(d[0] - d[0].mean(), family)
    population = Population(sizes, alike)
    return PilotPair(float(d.mean()), float((d != 0).mean()), lasting, seed_sd, s, float(counts.mean()), population)


def pilot_single(table: Predictions, discordant: float, metric: ShareMetric, positive: str = "") -> PilotPair:
    """A pair of arms of which one is there: its images agree within a patient as those of the pair are taken to do."""
    rows = share_rows(table, "", metric, positive)
    used = rows[rows["counts"]]
    centred = (used["right"] - used["right"].mean()).to_numpy(np.float64)
    sizes = _sizes(used["family"])
    population = Population(sizes, correlation(centred, used["family"]))
    return PilotPair(math.nan, discordant, 1.0, 0.0, 1, len(used) / len(rows), population)


def _right(table: Predictions, like: Predictions, metric: ShareMetric, positive: str) -> NDArray[np.bool_]:
    """Which images are right, in the order of another table."""
    ordered = in_order_of(table.written_like(like), like)
    return share_rows(ordered, "", metric, positive)["right"].to_numpy(bool)


def _sizes(family: pd.Series) -> NDArray[np.int64]:
    """Rows of each family."""
    return np.bincount(pd.factorize(family)[0]).astype(np.int64)


def correlation(centred: Array, family: pd.Series) -> float:
    """Intraclass correlation of values of mean 0 within families, at least 0 (analysis of variance, Fleiss 1986)."""
    codes = pd.factorize(family)[0]
    sizes = np.bincount(codes).astype(np.float64)
    n, m = len(centred), len(sizes)
    if m == n or m < 2:
        return 0.0
    sums = np.bincount(codes, weights=centred)
    between = float((sums**2 / sizes).sum() - centred.sum() ** 2 / n) / (m - 1)
    within = float((centred**2).sum() - (sums**2 / sizes).sum()) / (n - m)
    usual = (n - float((sizes**2).sum()) / n) / (m - 1)
    whole = between + (usual - 1) * within
    return min(max((between - within) / whole, 0.0), 1.0) if whole > 0 else 0.0
