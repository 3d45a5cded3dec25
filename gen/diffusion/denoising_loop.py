"""Continuous batching: images in slots are denoised together, each at its own step with its own settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engines.conditioning import Conditioning
from engines.engine import Networks
from engines.memory import explained
from gen.diffusion import noise
from gen.diffusion.batch_state import BatchState
from gen.diffusion.pace import Pace
from gen.diffusion.row_queue import RowQueues
from gen.diffusion.steps import StepTable, column
from gen.diffusion.strategies import Phase, Pixels, keep
from gen.plan.masks import Mask
from gen.plan.plan import PlanRow

#: Counter words between the noises of one phase of an image and the next.
PHASE_STRIDE = 4096


@dataclass
class InFlightImage:
    """One image between the plan and its shard.

    Attributes
    ----------
    number
        Position in the run's order of writing.
    latents
        Where denoising starts and, when it is finished, its result, [C, h, w].
    extra
        Mask and hidden image for a UNet that takes them, [1 + C, h, w].
    kept
        For other UNets: the clean latents to hold, their noise [C, h, w], and where to redraw [1, h, w].
    before
        The pixels that the phase starts from.
    """

    number: int
    row: PlanRow
    phases: list[Phase]
    phase: int = 0
    table: StepTable | None = None
    guided: NDArray[np.bool_] | None = None
    text: Conditioning | None = None
    negative: Conditioning | None = None
    latents: torch.Tensor | None = None
    extra: torch.Tensor | None = None
    kept: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
    before: Pixels | None = None
    step: int = 0

    @property
    def by_base(self) -> bool:
        """Whether the next step is the base's."""
        return self.step < self.row.base_steps

    @property
    def mask(self) -> Mask | None:
        return self.phases[self.phase].mask

    def noise(self, step: int, shape: tuple[int, ...]) -> torch.Tensor:
        """Noise of this image in this phase at this step."""
        at = step + self.phase * PHASE_STRIDE
        return torch.from_numpy(noise.normal(self.row.seed, self.row.id, at, shape))

    def end_phase(self, pixels: Pixels) -> Pixels | None:
        """Take a phase's decoded pixels: gives the finished image, or None where another phase follows."""
        if self.before is not None:
            pixels = keep(pixels, self.before, self.mask)
        self.latents = self.extra = self.kept = None
        if self.phase + 1 == len(self.phases):
            self.before = None
            return pixels
        self.before, self.phase = pixels, self.phase + 1
        return None


class DenoisingLoop:
    """Runs an engine's UNet over the images that were admitted, in full batches while there are enough.

    Where the engine has a base, rows for it wait in a queue of their own, and there are twice as many slots, so that
    one of the queues fills a call.

    Attributes
    ----------
    calls, rows
        UNet calls so far, and the batch rows in them that were used.
    pace
        Keeps the device a few steps behind, and knows how long it worked.
    """

    def __init__(self, engine: Networks) -> None:
        self.engine = engine
        with explained(f"recording a step of {engine.rows} batch rows"):
            self.slots = BatchState(engine)
        self.pace = Pace(engine.mark)
        self.restart()

    def restart(self) -> None:
        """Forget the images that are in, and count from zero."""
        self.images: list[InFlightImage | None] = [None] * self.slots.n
        self.queue = RowQueues.of(len(self.slots.runs))
        self.calls = self.rows = 0
        self.pace.restart()
        self.pace.take()

    @property
    def hungry(self) -> bool:
        """Whether the next call would have unused batch rows."""
        return not self.queue.full(self.engine.rows)

    @property
    def busy(self) -> bool:
        return len(self.queue) > 0

    def admit(self, image: InFlightImage) -> None:
        """Take an image in; its text, table and starting latents must be ready."""
        assert image.latents is not None
        assert image.text is not None
        slot, slots = self.images.index(None), self.slots
        self.images[slot], image.step = image, 0
        slots.state.x[slot] = slots.state.base[slot] = slots.upload(image.latents)
        slots.state.d1[slot] = slots.state.d2[slot] = 0
        slots.tell(2 * slot, image.text)
        if image.negative is not None:
            slots.tell(2 * slot + 1, image.negative)
        if image.extra is not None:
            slots.extra[slot] = slots.upload(image.extra)
        slots.redraw[slot] = True
        if image.kept is not None:
            clean, start, redraw = map(slots.upload, image.kept)
            slots.clean[slot], slots.start[slot], slots.redraw[slot] = clean, start, redraw
        self._queue(slot, image)

    def step(self) -> list[InFlightImage]:
        """One UNet call; returns the images that it finished, with their latents.

        On CUDA it is queued, and the call before the last two has ended when this returns.
        """
        denoiser, ran = self.queue.take(self.engine.rows)
        complete = self.queue.done(ran)
        rows, places, timesteps, settings = self.slots.idle()
        for i, row in enumerate(ran):
            image = self._image_in(row.slot)
            assert image.table is not None
            rows[i], places[i] = row.slot, 2 * row.slot + (not row.conditional)
            timesteps[i] = image.table.timesteps[image.step]
        for slot in complete:
            settings[slot] = self._settings(slot)
        with explained(f"a denoiser call of {self.engine.rows} rows"), self.pace.step():
            self.slots.runs[denoiser](*map(self.slots.upload, (rows, places, timesteps, settings)))
        self.calls, self.rows = self.calls + 1, self.rows + len(ran)
        advanced = [self._advance(slot) for slot in complete]
        return [image for image in advanced if image is not None]

    def _settings(self, slot: int) -> list[float]:
        """The values of `STEP_COLUMNS` that complete a slot's step; fresh noise is put into the slot."""
        image, step = self._image_in(slot), self._image_in(slot).step
        assert image.table is not None
        assert image.guided is not None
        coefficients, after = image.table.coefficients[step], step + 1
        if coefficients[column("x<noise")]:
            self.slots.noise[slot] = self.slots.upload(image.noise(step, self.slots.latent))
        held = (1.0, 0.0) if after == len(image.table) else (image.table.alphas[after], image.table.sigmas[after])
        return [*coefficients, image.row.guidance, image.guided[step], 1, *held]

    def _advance(self, slot: int) -> InFlightImage | None:
        """Queue the slot's next step, or return the image if there is none."""
        image = self._image_in(slot)
        assert image.table is not None
        image.step += 1
        if image.step < len(image.table):
            self._queue(slot, image)
            return None
        image.latents = self.slots.state.x[slot].clone()
        self.images[slot] = None
        return image

    def _queue(self, slot: int, image: InFlightImage) -> None:
        assert image.guided is not None
        self.queue.push(slot, bool(image.guided[image.step]), denoiser=int(image.by_base))

    def _image_in(self, slot: int) -> InFlightImage:
        image = self.images[slot]
        assert image is not None
        return image
