"""From a row of the plan to where its denoising starts: text, parent, step table, noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from engines.engine import Engine
from gen.diffusion import solvers, strategies
from gen.diffusion.denoising_loop import InFlightImage
from gen.diffusion.noise import START
from gen.diffusion.schedules import NoiseSchedule
from gen.diffusion.steps import StepTable
from gen.plan import masks
from gen.plan.parents import Parents
from gen.plan.plan import PlanRow

#: Prompts whose embeddings are kept; those of Stable Diffusion take 0.24 MB each.
EMBEDDINGS = 512


class Preparer:
    """Makes images ready to be denoised; uses the engine's text encoder and VAE encoder."""

    def __init__(self, engine: Engine, parents: Parents | None = None) -> None:
        self.engine, self.parents, self.spec = engine, parents, engine.spec
        self.schedule = NoiseSchedule.from_config(engine.spec.scheduler)
        self.shape = (self.spec.latent_channels, self.spec.latent_size, self.spec.latent_size)
        self.takes_masks = self.spec.unet_in_channels > self.spec.latent_channels
        self.table = lru_cache(maxsize=256)(self._table)
        self.embedding = lru_cache(maxsize=EMBEDDINGS)(self._embedding)

    def work(self, number: int, row: PlanRow) -> InFlightImage:
        """A row with its phases, prompts and parent."""
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
            text=self.embedding(row.prompt),
            negative=self.embedding(row.negative_prompt) if row.guidance > 1 else None,
        )

    def start(self, works: Sequence[InFlightImage]) -> None:
        """Bring each image to where its next phase starts: its table, its latents, what it keeps."""
        clean = self._encode([w.before for w in works if w.before is not None])
        images = iter(clean)
        hidden = self._encode([self._hide(w) for w in works]) if self.takes_masks else [None] * len(works)
        for work, seen in zip(works, hidden, strict=True):
            phase, row = work.phases[work.phase], work.row
            work.table = table = self.table(row.solver, row.steps, phase.strength)
            work.guided = table.guided(row.guidance_interval) & (row.guidance > 1)
            noise = work.noise(START, self.shape)
            work.latents = noise * table.start_scale
            redraw = torch.ones(1, *self.shape[1:], dtype=torch.bool)
            if phase.mask is not None:
                redraw = torch.from_numpy(masks.latent(phase.mask, self.spec.vae_scale_factor))[None]
            if work.before is not None:
                image = next(images)
                if phase.strength < 1:
                    work.latents = float(table.alphas[0]) * image + float(table.sigmas[0]) * noise
                if phase.mask is not None and not self.takes_masks:
                    work.kept = (image, noise, redraw)
            if seen is not None:
                work.extra = torch.cat([redraw.float(), seen])

    def _hide(self, work: InFlightImage) -> strategies.Pixels:
        nothing = np.zeros((self.spec.size, self.spec.size, 3), dtype=np.uint8)
        return strategies.hide(nothing if work.before is None else work.before, work.mask)

    def _encode(self, images: Sequence[strategies.Pixels]) -> Sequence[torch.Tensor]:
        if not images:
            return []
        pixels = torch.from_numpy(np.stack(images)).to(self.engine.device)
        return list(self.engine.encode(pixels).cpu())

    def _embedding(self, prompt: str) -> torch.Tensor:
        return self.engine.encode_text(self.engine.tokenize([prompt]))[0]

    def _table(self, solver: str, steps: int, strength: float) -> StepTable:
        return solvers.table(solver, self.schedule, steps, strength)
