"""What an interval of a gain allows to say, and from which numbers on anything is said."""

from __future__ import annotations

import math
from typing import Literal

from dermforge.common.least_numbers import ARM_SEEDS, CLASS_IMAGES, GROUP_IMAGES

Verdict = Literal["helps", "hurts", "no relevant difference", "cannot be determined", "not enough data"]


def verdict(gain: float, low: float, high: float, margin: float, enough: bool = True) -> Verdict:
    """What a gain in score means.

    Parameters
    ----------
    margin
        Differences up to this do not matter, even where chance does not explain them; named before the study.
    """
    if not enough or not all(map(math.isfinite, (gain, low, high))):
        return "not enough data"
    if low >= -margin and high <= margin:
        return "no relevant difference"
    if low > 0:
        return "helps"
    return "hurts" if high < 0 else "cannot be determined"


def lacking(images: int, patients: int, rarest: int | None, seeds: int) -> str:
    """What lacks for a verdict, in words; empty where nothing does.

    Parameters
    ----------
    images, patients
        Test images, and the patients or families that they are of (as many, where each stands alone).
    rarest
        Test images of the rarest class, for a mean over classes; None for other scores.
    seeds
        Training runs of each arm.
    """
    if images < GROUP_IMAGES:
        return f"{_count(images, 'test image')}, at least {GROUP_IMAGES} are needed"
    if patients < GROUP_IMAGES:
        return f"test images of {_count(patients, 'patient')}, at least {GROUP_IMAGES} patients are needed"
    if rarest is not None and rarest < CLASS_IMAGES:
        return f"{_count(rarest, 'test image')} of the rarest class, at least {CLASS_IMAGES} are needed"
    if seeds < ARM_SEEDS:
        return f"{_count(seeds, 'training run')} of each arm, at least {ARM_SEEDS} are needed"
    return ""


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
