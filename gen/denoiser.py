"""Denoising on an engine: images in slots, stepped together, each at its own step with its own settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engines.engine import Engine
from gen import noise
from gen.masks import Mask
from gen.packing import Row, RowQueue
from gen.plan import PlanRow
from gen.schedules import Array
from gen.steps import State, StepTable, advance, column
from gen.strategies import Phase, Pixels

#: Counter words between the noises of one phase of a row and the next.
PHASE_STRIDE = 4096


@dataclass
class Work:
    """One image under way.

    Attributes
    ----------
    number
        Position in the run's order of writing.
    latents
        Where denoising starts, and in the end what it came to, [C, h, w].
    extra
        Mask and hidden image for a UNet that takes them, [1 + C, h, w].
    kept
        For other UNets: the clean latents to hold, their noise [C, h, w], and where to draw anew [1, h, w].
    before
        The pixels that the phase starts from.
    """

    number: int
    row: PlanRow
    phases: list[Phase]
    phase: int = 0
    table: StepTable | None = None
    guided: NDArray[np.bool_] | None = None
    text: torch.Tensor | None = None
    negative: torch.Tensor | None = None
    latents: torch.Tensor | None = None
    extra: torch.Tensor | None = None
    kept: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
    before: Pixels | None = None
    step: int = 0

    @property
    def mask(self) -> Mask | None:
        return self.phases[self.phase].mask

    def noise(self, step: int, shape: tuple[int, ...]) -> torch.Tensor:
        """Noise of this row, this phase and this step."""
        at = step + self.phase * PHASE_STRIDE
        return torch.from_numpy(noise.normal(self.row.seed, self.row.id, at, shape))


class Denoiser:
    """Runs an engine's UNet over whatever images were admitted, in full batches while there are enough.

    Attributes
    ----------
    calls, rows
        UNet calls so far, and the rows in them that were of use.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine, self.device = engine, engine.device
        facts = engine.facts
        slots = engine.rows  # an image is admitted only while fewer rows wait than a call takes
        self.shape = (facts.latent_channels, facts.latent_size, facts.latent_size)
        channels = facts.unet_in_channels
        self.state = State(*(torch.zeros(slots, *self.shape, device=self.device) for _ in range(4)))
        self.extra = torch.zeros(slots, channels - facts.latent_channels, *self.shape[1:], device=self.device)
        self.texts = torch.zeros(2 * slots, facts.max_length, facts.text_dim, device=self.device)
        self.outputs = torch.zeros(2 * slots, *self.shape, device=self.device)
        self.works: list[Work | None] = [None] * slots
        self.queue = RowQueue()
        self.calls = self.rows = 0

    @property
    def hungry(self) -> bool:
        """Whether the next call would have empty rows."""
        return len(self.queue) < self.engine.rows

    @property
    def busy(self) -> bool:
        return len(self.queue) > 0

    def admit(self, work: Work) -> None:
        """Take an image in; its text, table and starting latents must be ready."""
        assert work.latents is not None
        assert work.text is not None
        slot = self.works.index(None)
        self.works[slot], work.step = work, 0
        x = work.latents.to(self.device)
        self.state.x[slot], self.state.base[slot] = x, x
        self.state.d1[slot], self.state.d2[slot] = 0, 0
        self.texts[2 * slot] = work.text
        if work.negative is not None:
            self.texts[2 * slot + 1] = work.negative
        if work.extra is not None:
            self.extra[slot] = work.extra.to(self.device)
        if work.kept is not None:
            clean, start, redraw = work.kept
            work.kept = clean.to(self.device), start.to(self.device), redraw.to(self.device)
        self._queue(slot, work)

    def step(self) -> list[Work]:
        """One UNet call; the images that it finished, their latents in place."""
        ran = self.queue.take(self.engine.rows)
        timesteps = [self._table(row).timesteps[self._work(row.slot).step] for row in ran]
        slots = torch.tensor([row.slot for row in ran], device=self.device)
        places = torch.tensor([2 * row.slot + (not row.conditional) for row in ran], device=self.device)
        x = self.state.x[slots]
        if self.extra.shape[1]:
            x = torch.cat([x, self.extra[slots]], dim=1)
        out = self.engine.unet(x, torch.tensor(timesteps, dtype=torch.float32), self.texts[places])
        self.outputs[places] = out
        self.calls, self.rows = self.calls + 1, self.rows + len(ran)
        complete = self.queue.done(ran)
        return self._advance(complete) if complete else []

    def _advance(self, slots: list[int]) -> list[Work]:
        works = [self._work(slot) for slot in slots]
        tables = [work.table for work in works if work.table is not None]
        coefficients = np.stack([table.coefficients[w.step] for table, w in zip(tables, works, strict=True)])
        at = torch.tensor(slots, device=self.device)
        state = State(self.state.x[at], self.state.base[at], self.state.d1[at], self.state.d2[at])
        state = advance(coefficients, state, self._guide(works, at), self._fresh(works, coefficients))
        finished = []
        for i, work in enumerate(works):
            work.step += 1
            if work.kept is not None:
                clean, start, redraw = work.kept
                alpha, sigma = float(tables[i].alphas[work.step]), float(tables[i].sigmas[work.step])
                held = clean if work.step == len(tables[i]) else alpha * clean + sigma * start
                state.x[i] = torch.where(redraw, state.x[i], held)
        self.state.x[at], self.state.base[at] = state.x, state.base
        self.state.d1[at], self.state.d2[at] = state.d1, state.d2
        for i, (slot, work) in enumerate(zip(slots, works, strict=True)):
            if work.step == len(tables[i]):
                work.latents = state.x[i].clone()
                self.works[slot] = None
                finished.append(work)
            else:
                self._queue(slot, work)
        return finished

    def _guide(self, works: list[Work], at: torch.Tensor) -> torch.Tensor:
        """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598)."""
        conditional = self.outputs[2 * at]
        guided = [bool(w.guided[w.step]) for w in works if w.guided is not None]
        if not any(guided):
            return conditional
        other = self.outputs[2 * at + 1]
        scale = torch.tensor([w.row.guidance for w in works], dtype=torch.float32, device=self.device)
        mixed = other + scale[:, None, None, None] * (conditional - other)
        return torch.where(torch.tensor(guided, device=self.device)[:, None, None, None], mixed, conditional)

    def _fresh(self, works: list[Work], coefficients: Array) -> torch.Tensor | None:
        needed = coefficients[:, column("x<noise")] != 0
        if not needed.any():
            return None
        none = torch.zeros(self.shape)
        drawn = [w.noise(w.step, self.shape) if n else none for w, n in zip(works, needed, strict=True)]
        return torch.stack(drawn).to(self.device)

    def _queue(self, slot: int, work: Work) -> None:
        assert work.guided is not None
        self.queue.push(slot, bool(work.guided[work.step]))

    def _work(self, slot: int) -> Work:
        work = self.works[slot]
        assert work is not None
        return work

    def _table(self, row: Row) -> StepTable:
        table = self._work(row.slot).table
        assert table is not None
        return table
