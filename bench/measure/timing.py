"""Timing: with warm-up and repeats, waiting for the device, and peers in turns so that disturbances hit all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.measure.device import wait

if TYPE_CHECKING:
    import torch

#: A shorter call is repeated within one sample, because clocks and the scheduler jitter.
LEAST_S = 0.05
#: Fewer samples have no interval.
ENOUGH = 3

Call = Callable[[], object]
#: Told the name of each part when it is done.
Tick = Callable[[str], object]


def silent(name: str) -> None:
    """A tick that tells nobody."""


def seconds(call: Call, device: torch.device, *, repeats: int = 5, warmup: int = 1) -> list[float]:
    """Seconds of each of `repeats` calls, after `warmup` calls that are not counted."""
    return in_turn({"": call}, device, repeats=repeats, warmup=warmup)[""]


def in_turn(
    calls: Mapping[str, Call], device: torch.device, *, repeats: int = 5, warmup: int = 1, tick: Tick = silent
) -> dict[str, list[float]]:
    """Seconds of several calls in turns, so that whatever slows the machine down slows all of them.

    Parameters
    ----------
    tick
        Called after each call, warm-up included.
    """
    loops = {}
    for name, call in calls.items():
        took = 0.0
        for _ in range(max(warmup, 1)):
            took = _once(call, device, 1)
            tick(name)
        loops[name] = max(1, math.ceil(LEAST_S / max(took, 1e-9))) if took < LEAST_S else 1
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            samples[name].append(_once(call, device, loops[name]))
            tick(name)
    return samples


def _once(call: Call, device: torch.device, loops: int) -> float:
    wait(device)
    start = time.perf_counter()
    for _ in range(loops):
        call()
    wait(device)
    return (time.perf_counter() - start) / loops


def median(samples: Sequence[float]) -> float:
    """Of the samples; NaN if there are none."""
    return float(np.median(samples)) if len(samples) else float("nan")


def spread(samples: Sequence[float]) -> tuple[float, float]:
    """Quartiles of the samples; NaN if there are none."""
    if not len(samples):
        return float("nan"), float("nan")
    low, high = np.quantile(samples, [0.25, 0.75])
    return float(low), float(high)


def interval(samples: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of the geometric mean of positive samples (Student's t on their logarithms).

    NaN with fewer than three samples: two repeats do not show their spread.
    """
    from scipy import stats

    if len(samples) < ENOUGH:
        return float("nan"), float("nan")
    logs = np.log(np.asarray(samples, dtype=float))
    reach = float(stats.t.ppf((1 + level) / 2, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs)))
    return math.exp(float(logs.mean()) - reach), math.exp(float(logs.mean()) + reach)
