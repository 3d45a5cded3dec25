"""The images that a benchmark generates, the same for this project's engine and for its peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engines.pipeline_spec import PipelineSpec
from gen.diffusion import noise, solvers
from gen.diffusion.noise import START
from gen.plan.plan import PlanRow

Images = NDArray[np.uint8]  # [n, h, w, 3]
Generate = Callable[[], Images]
#: The same everywhere: DPM-Solver++(2M) at the pipeline's own spacing.
SOLVER = "dpmsolver++"


@dataclass(frozen=True)
class Workload:
    """Plan rows and starting noise that every engine and every peer is given.

    Attributes
    ----------
    latents
        Starting noise of each image, float32 [n, C, h, w], standard normal.
    """

    rows: list[PlanRow]
    latents: torch.Tensor
    steps: int
    guidance: float

    @property
    def prompts(self) -> list[str]:
        return [row.prompt for row in self.rows]


def workload(spec: PipelineSpec, n: int, *, steps: int, guidance: float, seed: int = 0) -> Workload:
    """`n` images over the model's own validation prompts."""
    prompts = [p.prompt for p in spec.validation_prompts] or ["An image of a plaque, a skin disease"]
    rows = [
        PlanRow.model_validate(
            {
                "class": "x",
                "id": f"{i:06d}",
                "prompt": prompts[i % len(prompts)],
                "seed": seed,
                "solver": SOLVER,
                "steps": steps,
                "guidance": guidance,
                "size": spec.size,
            }
        )
        for i in range(n)
    ]
    shape = (spec.latent_channels, spec.latent_size, spec.latent_size)
    latents = torch.from_numpy(np.stack([noise.normal(seed, row.id, START, shape) for row in rows]))
    return Workload(rows, latents, steps, guidance)


def unet_rows(spec: PipelineSpec, row: PlanRow) -> int:
    """Batch rows of the UNet for one image: one for each step, and one more for each guided step."""
    table = solvers.table(row.solver, solvers.schedule_of(spec), row.steps, row.strength)
    guided = table.guided(row.guidance_interval) & (row.guidance > 1)
    return len(guided) + int(guided.sum())
