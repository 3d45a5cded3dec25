"""How much each step does: on a GPU, and in a rehearsal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bench.measure.device import wait
from bench.suites.gpu.results import Job

#: What every comparison uses; the paper's.
GUIDANCE = 3.0
STEPS, FEWER_STEPS = 50, 20


@dataclass(frozen=True)
class Effort:
    """Sizes of the measurements.

    Attributes
    ----------
    images
        Of one timed run, at most.
    shorter
        Steps of a run are divided by it.
    room
        Seconds that the timed runs of one measurement may take together; the number of images is chosen for it.
    sides
        Of the square matrices of the ceilings; empty for those of the device.
    train_batch, train_seconds
        Of the built-in UNet's training.
    """

    images: int
    sampled: int
    shorter: int
    repeats: int
    room: float
    sides: tuple[int, ...]
    copied: int
    train_batch: int
    train_seconds: float
    phantoms: int

    def steps(self, steps: int) -> int:
        return max(1, steps // self.shorter)


FULL = Effort(
    images=64,
    sampled=400,
    shorter=1,
    repeats=2,
    room=32,
    sides=(),
    copied=0,
    train_batch=256,
    train_seconds=85,
    phantoms=120,
)
TINY = Effort(
    images=4,
    sampled=6,
    shorter=20,
    repeats=1,
    room=2,
    sides=(64,),
    copied=1 << 20,
    train_batch=4,
    train_seconds=1,
    phantoms=1,
)


def effort(job: Job) -> Effort:
    """How much the steps of a run do."""
    return TINY if job.rehearsal else FULL


def device_of(job: Job) -> torch.device:
    """Where the steps of a run compute."""
    return torch.device("cpu" if job.rehearsal else "cuda:0")


def images_that_fit(once: Callable[[int], object], trial: int, how: Effort, device: torch.device) -> int:
    """How many images a timed run may have so that all runs end in time, by a trial that also warms up.

    Always full batches, at least one: a part of a batch takes as long as a whole one.

    Parameters
    ----------
    once
        Generates so many images.
    trial
        Images of the trial, which is a full batch.
    """
    begun = time.perf_counter()
    once(trial)
    wait(device)
    each = (time.perf_counter() - begun) / trial
    fit = min(how.images, int(how.room / how.repeats / each))
    return max(trial, fit - fit % trial)


def timed_runs(call: Callable[[], object], how: Effort, device: torch.device) -> Sequence[float]:
    """Seconds of each of `how.repeats` calls."""
    took = []
    for _ in range(how.repeats):
        begun = time.perf_counter()
        call()
        wait(device)
        took.append(time.perf_counter() - begun)
    return took
