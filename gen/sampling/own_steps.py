"""The steps of `gen sample` from where a certificate starts, so that what is certified is what will be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from engines.conditioning import Conditioning, chosen, with_guidance
from engines.draw import SoFar, Start
from engines.engine import Networks
from gen.diffusion import solvers
from gen.diffusion.denoising_loop import DenoisingLoop, InFlightImage
from gen.diffusion.strategies import Phase
from gen.plan.plan import PlanRow


@dataclass
class _Certified(InFlightImage):
    """An image whose fresh noise is that of diffusers' generators."""

    source: torch.Generator = field(default_factory=torch.Generator)

    def noise(self, step: int, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=self.source)


def own_steps(
    engine: Networks, text: Conditioning, extra: torch.Tensor | None, start: Start, so_far: SoFar
) -> torch.Tensor | None:
    """The latents of a certificate's images by this package's solver and loop: an `engines.draw.Solve`.

    Returns
    -------
    torch.Tensor or None
        float32 [n, C, h, w]; None where no solver here has the steps of the pipeline's scheduler, or where diffusers in
        single precision is too far from its own steps to compare with.
    """
    spec, n = engine.spec, len(start.noise)
    solver = solvers.of_pipeline(spec.scheduler)
    if solver is None or (solver == "heun" and _diffusers_rounds(spec.scheduler)):
        return None
    table = solvers.table(solver, solvers.schedule_of(spec), start.steps)
    settings = {"class": "-", "prompt": "-", "solver": solver, "size": spec.size}
    settings |= {"steps": start.steps, "guidance": start.guidance}
    loop, done = DenoisingLoop(engine), dict[int, torch.Tensor]()
    for number, source in enumerate(start.generators()):
        row = PlanRow.model_validate(settings | {"id": str(number)})
        image = _Certified(
            number,
            row,
            [Phase()],
            table=table,
            guided=table.guided(None) & (spec.guidance == "classifier-free"),
            text=with_guidance(chosen(text, number), start.guidance),
            negative=chosen(text, n + number),
            latents=start.noise[number] * table.start_scale,
            extra=None if extra is None else extra[number],
            source=source,
        )
        loop.admit(image)
        while loop.busy and (not loop.hungry or number == n - 1):
            for finished in loop.step():
                assert finished.latents is not None
                done[finished.number] = finished.latents
                so_far(f"image {len(done)} of {n}")
    return torch.stack([done[number] for number in range(n)])


def _diffusers_rounds(scheduler: Mapping[str, Any]) -> bool:
    """Whether diffusers' Heun in single precision leaves its steps by more than a certificate allows.

    It keeps a state of the size of sigma, 20,000 on the cosine schedule, and multiplies the rounding of what is left
    of it when the clean latents are predicted (docs/validation.md, Solvers).
    """
    cosine = scheduler.get("trained_betas") is None and scheduler.get("beta_schedule") == "squaredcos_cap_v2"
    return cosine or scheduler.get("prediction_type") == "sample"
