"""Step: the training of the built-in UNet, stopped halfway and resumed from its last checkpoint."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from safetensors.torch import save

from bench.measure.record import higher
from bench.suites.gpu.effort import device_of, effort
from bench.suites.gpu.results import Job, Report
from dermforge.common import atomic
from dermforge.common.progress import Progress, Ticker
from dermforge.common.training_log import TrainingLog
from gen.builtin.data import phantoms
from gen.builtin.model import LATENT_CHANNELS, PATCH
from gen.builtin.patch_code import fit_code
from gen.builtin.train_stages import COLUMNS, LOG, Budget, Workshop, train_unet

WEIGHTS = "builtin-unet.safetensors"
TRIAL_STEPS = {True: 4, False: 60}  # of a rehearsal, and of a run
CHECKPOINTS = {True: 2, False: 250}


class Interrupted(Exception):
    """Raised by this step itself, halfway through the training."""


def train(job: Job, report: Report) -> None:
    """As many steps as fit, half of them before a resume; the weights stay with the results."""
    for folder in job.scratch.glob("training-*"):  # of a try that was stopped: a resume would look fast
        shutil.rmtree(folder)
    how = effort(job)
    data = phantoms(how.phantoms, 0)
    code = fit_code(data, PATCH, LATENT_CHANNELS)
    budget = Budget(unet_steps=TRIAL_STEPS[job.rehearsal], unet_batch=how.train_batch)
    trial = _Watch()
    train_unet(code, data, _workshop(job, "trial", budget, trial), budget.unet)
    steps = max(2 * CHECKPOINTS[job.rehearsal], int(how.train_seconds / trial.seconds_a_step))
    budget = replace(budget, unet_steps=steps)
    torch.manual_seed(1)
    begun = time.monotonic()
    try:
        train_unet(code, data, _workshop(job, "run", budget, _Watch(steps // 2)), budget.unet)
    except Interrupted:
        report.note(interrupted_after=steps // 2)
    shop = _workshop(job, "run", budget, _Watch())
    unet = train_unet(code, data, shop, budget.unet)
    took = time.monotonic() - begun
    report.measured(higher("training/built-in UNet", "steps/s", [steps / took], {"batch": how.train_batch}))
    report.note(steps=steps, losses=shop.log.path.read_text().splitlines()[-5:])
    state = {name: value.half().cpu().contiguous() for name, value in unet.state_dict().items()}
    atomic.write_whole(job.out / WEIGHTS, save(state))  # safetensors itself makes files that only their owner reads


def _workshop(job: Job, name: str, budget: Budget, progress: Progress) -> Workshop:
    """Where a training begins, or goes on."""
    folder = job.scratch / f"training-{name}"
    folder.mkdir(exist_ok=True)
    log, every = TrainingLog(folder / LOG, COLUMNS), CHECKPOINTS[job.rehearsal]
    return Workshop(folder, budget, device_of(job), log, progress=progress, checkpoint_every=every)


class _Watch:
    """A progress that notes when each step ends, and raises `Interrupted` after some of them."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.times = most, list[float]()

    @contextmanager
    def __call__(self, what: str, total: int | None, unit: str = "images") -> Iterator[Ticker]:
        yield self._tick

    def _tick(self, n: int = 1, note: str = "") -> None:
        self.times.append(time.monotonic())
        if len(self.times) == self.most:
            raise Interrupted

    @property
    def seconds_a_step(self) -> float:
        """The median: the first steps also load libraries."""
        return float(np.median(np.diff(self.times)))
