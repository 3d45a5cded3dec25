"""From a plan row to where its denoising starts: text, parent, step table, noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from engines.conditioning import Conditioning, chosen, with_guidance
from engines.engine import Networks
from gen.diffusion import solvers, strategies
from gen.diffusion.base_first import guided_steps, with_base
from gen.diffusion.denoising_loop import InFlightImage
from gen.diffusion.noise import START
from gen.diffusion.steps import StepTable
from gen.plan import masks
from gen.plan.parents import Parents
from gen.plan.plan import Plan, PlanRow


class Preparer:
    """Makes images ready to be denoised, with the engine's text encoder and VAE encoder."""

    def __init__(self, engine: Networks, parents: Parents | None = None) -> None:
        self.engine, self.parents, self.spec = engine, parents, engine.spec
        self.base = None if engine.base is None else engine.base.spec
        self.schedule = solvers.schedule_of(engine.spec)
        self.shape = (self.spec.latent_channels, self.spec.latent_size, self.spec.latent_size)
        self.takes_masks = self.spec.unet_in_channels > self.spec.latent_channels
        self.table = lru_cache(maxsize=256)(self._table)

    def read_ahead(self, plan: Plan, among: NDArray[np.bool_]) -> None:
        """Encode the prompts that some rows are going to take, so that the engine can free its text encoders."""
        rows = plan.apart("prompt", "negative_prompt", "guidance", "base_steps", among=among)
        taken = {(row.prompt, row.negative_prompt if self._guided(row) else row.prompt) for row in rows}
        self.engine.read_ahead(prompt for pair in taken for prompt in pair)

    def new(self, number: int, row: PlanRow) -> InFlightImage:
        """The image of a plan row, with its phases, prompts and parent."""
        lesion, before = None, None
        if row.parent:
            assert self.parents is not None
            before = self.parents.image(row.parent, row.size)
            lesion = self.parents.lesion(row.parent, row.size) if row.mask == "lesion" else None
        return InFlightImage(
            number,
            row,
            strategies.phases(row, lesion),
            before=before,
            text=with_guidance(self._conditioning(row.prompt), row.guidance),
            negative=self._conditioning(row.negative_prompt, negative=True) if self._guided(row) else None,
        )

    def start(self, images: Sequence[InFlightImage]) -> None:
        """Bring each image to where its next phase starts: its step table, its latents, what it keeps."""
        encoded = iter(self._encode([image.before for image in images if image.before is not None]))
        hidden = self._encode([self._hide(image) for image in images]) if self.takes_masks else [None] * len(images)
        for image, seen in zip(images, hidden, strict=True):
            phase, row = image.phases[image.phase], image.row
            image.table = table = self.table(row.solver, row.steps, phase.strength, row.base_steps)
            image.guided = guided_steps(
                table,
                row.guidance_interval,
                row.guidance,
                row.base_steps,
                self.spec.guidance,
                None if self.base is None else self.base.guidance,
            )
            noise = image.noise(START, self.shape)
            image.latents = noise * table.start_scale
            redraw = torch.ones(1, *self.shape[1:], dtype=torch.bool)
            if phase.mask is not None:
                redraw = torch.from_numpy(masks.latent(phase.mask, self.spec.vae_scale_factor))[None]
            if image.before is not None:
                clean = next(encoded)
                if phase.strength < 1:
                    image.latents = float(table.alphas[0]) * clean + float(table.sigmas[0]) * noise
                if phase.mask is not None and not self.takes_masks:
                    image.kept = (clean, noise, redraw)
            if seen is not None:
                image.extra = torch.cat([redraw.float(), seen])

    def _hide(self, image: InFlightImage) -> strategies.Pixels:
        nothing = np.zeros((self.spec.size, self.spec.size, 3), dtype=np.uint8)
        return strategies.hide(nothing if image.before is None else image.before, image.mask)

    def _encode(self, images: Sequence[strategies.Pixels]) -> Sequence[torch.Tensor]:
        if not images:
            return []
        pixels = torch.from_numpy(np.stack(images)).to(self.engine.device)
        return list(self.engine.encode(pixels).cpu())

    def _guided(self, row: PlanRow) -> bool:
        """Whether a row takes a second prediction, of the negative prompt."""
        drawing = [self.spec] if self.base is None or not row.base_steps else [self.spec, self.base]
        return row.guidance > 1 and any(spec.guidance == "classifier-free" for spec in drawing)

    def _conditioning(self, prompt: str, negative: bool = False) -> Conditioning:
        return chosen(self.engine.encode_text([prompt], negative=negative), 0)

    def _table(self, solver: str, steps: int, strength: float, base_steps: int) -> StepTable:
        return with_base(solvers.table(solver, self.schedule, steps, strength), solver, base_steps, self.base)
