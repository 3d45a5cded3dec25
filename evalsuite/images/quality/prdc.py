"""Improved precision and recall (Kynkaanniemi 2019), density and coverage (Naeem 2020) in feature space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalsuite.images.features.nearest import distances
from evalsuite.stats.estimate import Estimate, bootstrap_mean, missing, share
from evalsuite.stats.resampling import Array, Families


@dataclass(frozen=True)
class Prdc:
    """Four shares. Their intervals treat the neighbourhoods as fixed and cover only the spread of the judged images."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def prdc(real: Array, synthetic: Array, *, k: int = 5, block: int = 1024, families: Families = (None, None)) -> Prdc:
    """The four numbers of features [n, d] and [m, d]; memory grows with n + m.

    precision: share of synthetic images within the k-nearest-neighbour ball of a real image; recall: the reverse;
    density: mean number of real balls around a synthetic image, divided by k; coverage: share of real balls that hold
    a synthetic image.
    """
    if min(len(real), len(synthetic)) <= k:
        none = missing(min(len(real), len(synthetic)), f"needs more than k = {k} samples on a side")
        return Prdc(none, none, none, none)
    real_balls, recalled, covered = in_balls(real, synthetic, k=k, block=block)
    return Prdc(
        precision=share(real_balls > 0, families[1]),
        recall=share(recalled, families[0]),
        density=bootstrap_mean(real_balls / k, family=families[1]),
        coverage=share(covered, families[0]),
    )


def in_balls(
    real: Array, synthetic: Array, *, k: int = 5, block: int = 1024
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each synthetic image in how many real balls it lies, [m]; of each real one whether it is recalled, [n]; and
    whether its ball is covered, [n]. Both sides have more than k images.
    """
    radius_real, radius_synthetic = radii(real, k, block), radii(synthetic, k, block)
    real_balls = np.zeros(len(synthetic), dtype=np.int64)
    recalled = np.zeros(len(real), dtype=bool)
    covered = np.zeros(len(real), dtype=bool)
    for start in range(0, len(real), block):
        rows = slice(start, start + block)
        distance = distances(real[rows], synthetic)
        real_balls += (distance < radius_real[rows, None]).sum(0)
        recalled[rows] = (distance < radius_synthetic[None]).any(1)
        covered[rows] = distance.min(1) < radius_real[rows]
    return real_balls, recalled, covered


def radii(features: Array, k: int, block: int = 1024) -> Array:
    """Distance from each feature to its k-th nearest other one, [n]."""
    return np.concatenate(
        [
            np.partition(distances(features[i : i + block], features), k, axis=1)[:, k]
            for i in range(0, len(features), block)
        ]
    )
