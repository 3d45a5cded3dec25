"""Step tables: images of any of them share a batch; which steps an interval guides."""

from __future__ import annotations

import numpy as np
import torch

from gen.diffusion import solvers
from gen.diffusion.schedules import NoiseSchedule
from gen.diffusion.steps import SolverState, advance

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def test_images_of_different_solvers_share_a_batch_to_the_bit() -> None:
    """One image's state does not depend on its neighbours' solvers, steps or number."""
    schedule = NoiseSchedule.from_config(
        {**SD, "prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True}
    )
    kinds = (("unipc", 7), ("ddim", 5), ("dpmsolver++", 9), ("lcm", 4))
    tables = [solvers.table(solver, schedule, steps) for solver, steps in kinds]
    x = torch.randn(4, 4, 5, 3)
    out, noise = torch.randn_like(x), torch.randn_like(x)
    state = SolverState(x, torch.randn_like(x), torch.randn_like(x), torch.randn_like(x))
    together = advance(np.stack([t.coefficients[2] for t in tables]), state, out, noise)
    for i, t in enumerate(tables):
        one = slice(i, i + 1)
        own = SolverState(x[one], state.base[one], state.d1[one], state.d2[one])
        alone = advance(t.coefficients[2:3], own, out[one], noise[one])
        assert torch.equal(alone.x, together.x[one])
        assert torch.equal(alone.base, together.base[one])


def test_guidance_interval_counts_noise_levels_as_the_paper() -> None:
    """Kynkäänniemi's SDXL interval (0.28, 5.42] leaves Stable Diffusion's first and last steps unguided."""
    schedule = NoiseSchedule.from_config({**SD, "timestep_spacing": "leading", "steps_offset": 1})
    steps = solvers.table("dpmsolver++", schedule, 20)
    guided = steps.guided((0.28, 5.42))
    assert steps.guided(None).all()
    assert not guided[0]
    assert not guided[-1]
    assert 10 <= guided.sum() <= 16


def test_the_interval_holds_its_upper_end_and_not_its_lower() -> None:
    """(low, high], to the step: of two intervals laid end to end one guides each step."""
    schedule = NoiseSchedule.from_config({**SD, "timestep_spacing": "leading", "steps_offset": 1})
    steps = solvers.table("dpmsolver++", schedule, 20)
    levels = steps.sigmas[:-1] / steps.alphas[:-1]
    assert np.flatnonzero(steps.guided((float(levels[10]), float(levels[7])))).tolist() == [7, 8, 9]
