"""Denoising on an engine: images in slots, stepped together, each at its own step with its own settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engines.engine import Engine
from engines.memory import explained
from gen.diffusion import noise
from gen.diffusion.batch_state import BatchState
from gen.diffusion.row_queue import RowQueue
from gen.diffusion.steps import StepTable, column
from gen.diffusion.strategies import Phase, Pixels
from gen.plan.masks import Mask
from gen.plan.plan import PlanRow

#: Counter words between the noises of one phase of a row and the next.
PHASE_STRIDE = 4096


@dataclass
class InFlightImage:
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


class DenoisingLoop:
    """Runs an engine's UNet over whatever images were admitted, in full batches while there are enough.

    Attributes
    ----------
    calls, rows
        UNet calls so far, and the rows in them that were of use.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.slots = BatchState(engine)  # an image is admitted only while fewer rows wait than a call takes
        self.works: list[InFlightImage | None] = [None] * engine.rows
        self.queue = RowQueue()
        self.calls = self.rows = 0

    @property
    def hungry(self) -> bool:
        """Whether the next call would have empty rows."""
        return len(self.queue) < self.engine.rows

    @property
    def busy(self) -> bool:
        return len(self.queue) > 0

    def admit(self, work: InFlightImage) -> None:
        """Take an image in; its text, table and starting latents must be ready."""
        assert work.latents is not None
        assert work.text is not None
        slot, slots = self.works.index(None), self.slots
        self.works[slot], work.step = work, 0
        slots.state.x[slot] = slots.state.base[slot] = slots.upload(work.latents)
        slots.state.d1[slot] = slots.state.d2[slot] = 0
        slots.texts[2 * slot] = work.text
        if work.negative is not None:
            slots.texts[2 * slot + 1] = work.negative
        if work.extra is not None:
            slots.extra[slot] = slots.upload(work.extra)
        slots.redraw[slot] = True
        if work.kept is not None:
            clean, start, redraw = map(slots.upload, work.kept)
            slots.clean[slot], slots.start[slot], slots.redraw[slot] = clean, start, redraw
        self._queue(slot, work)

    def step(self) -> list[InFlightImage]:
        """One UNet call; the images that it finished, their latents in place."""
        ran = self.queue.take(self.engine.rows)
        complete = self.queue.done(ran)
        rows, places, timesteps, settings = self.slots.idle()
        for i, row in enumerate(ran):
            work = self._work(row.slot)
            assert work.table is not None
            rows[i], places[i] = row.slot, 2 * row.slot + (not row.conditional)
            timesteps[i] = work.table.timesteps[work.step]
        for slot in complete:
            settings[slot] = self._settings(slot)
        with explained(f"a UNet call of {self.engine.rows} rows"):
            self.slots.run(*map(self.slots.upload, (rows, places, timesteps, settings)))
        self.calls, self.rows = self.calls + 1, self.rows + len(ran)
        advanced = [self._advance(slot) for slot in complete]
        return [image for image in advanced if image is not None]

    def _settings(self, slot: int) -> list[float]:
        """What completes a slot's step, by `slots.STEP_COLUMNS`; fresh noise is put where the step finds it."""
        work, step = self._work(slot), self._work(slot).step
        assert work.table is not None
        assert work.guided is not None
        coefficients, after = work.table.coefficients[step], step + 1
        if coefficients[column("x<noise")]:
            self.slots.noise[slot] = self.slots.upload(work.noise(step, self.slots.latent))
        held = (1.0, 0.0) if after == len(work.table) else (work.table.alphas[after], work.table.sigmas[after])
        return [*coefficients, work.row.guidance, work.guided[step], 1, *held]

    def _advance(self, slot: int) -> InFlightImage | None:
        """To the slot's next step; the image if there is none."""
        work = self._work(slot)
        assert work.table is not None
        work.step += 1
        if work.step < len(work.table):
            self._queue(slot, work)
            return None
        work.latents = self.slots.state.x[slot].clone()
        self.works[slot] = None
        return work

    def _queue(self, slot: int, work: InFlightImage) -> None:
        assert work.guided is not None
        self.queue.push(slot, bool(work.guided[work.step]))

    def _work(self, slot: int) -> InFlightImage:
        work = self.works[slot]
        assert work is not None
        return work
