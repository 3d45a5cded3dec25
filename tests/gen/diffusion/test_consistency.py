"""Solvers of consistency models equal diffusers' with the same fresh noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import LCMScheduler, TCDScheduler
from trajectories import BETAS, START, difference, in_double, model, ours, theirs

from gen.diffusion import solvers
from gen.diffusion.schedules import NoiseSchedule
from gen.diffusion.steps import SolverState, advance

CONFIG: dict[str, Any] = {**BETAS["sd"], "num_train_timesteps": 1000, "steps_offset": 1, "timestep_spacing": "leading"}


@pytest.mark.parametrize("teacher", [50, 100])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(
    ("kind", "solver", "step"),
    [
        (LCMScheduler, "lcm", {}),
        (TCDScheduler, "tcd", {}),
        (TCDScheduler, "tcd:0", {"eta": 0.0}),
        (TCDScheduler, "tcd:0.75", {"eta": 0.75}),
        (TCDScheduler, "tcd:1", {"eta": 1.0}),
    ],
)
def test_trajectory_equals_diffusers(
    kind: Any, solver: str, step: dict[str, float], prediction: str, teacher: int
) -> None:
    for steps, zero in ((1, False), (2, False), (4, False), (8, prediction != "epsilon"), (33, False)):
        settings = CONFIG | {"prediction_type": prediction, "original_inference_steps": teacher}
        settings |= {"rescale_betas_zero_snr": zero, "timestep_scaling": 0.001 * teacher}
        table = solvers.table(solver, NoiseSchedule.from_config(settings), steps)
        ends: list[torch.Tensor] = []
        for which in (in_double(kind), kind):
            scheduler = which.from_config(settings)
            scheduler.set_timesteps(steps)
            assert scheduler.timesteps.tolist() == table.timesteps.tolist()
            ends.append(theirs(scheduler, START.double() if not ends else START, **step))
        assert difference(ours(table, START.double()), ends[0]) < 1e-6
        assert difference(ours(table, START), ends[1]) < 1e-4


@pytest.mark.parametrize("strength", [0.5, 0.8])
def test_tcd_starts_from_an_image_where_diffusers_starts(strength: float) -> None:
    image, noise = START * 0.5, START.flip(-1)
    scheduler = TCDScheduler.from_config(CONFIG)
    scheduler.set_timesteps(8)
    first = 8 - int(8 * strength)
    scheduler.set_begin_index(first)
    x = scheduler.add_noise(image, noise, scheduler.timesteps[first : first + 1])
    for t in scheduler.timesteps[first:]:
        x = scheduler.step(model(x, t), t, x, eta=0.0).prev_sample
    table = solvers.table("tcd:0", NoiseSchedule.from_config(CONFIG), 8, strength)
    state = SolverState.start(float(table.alphas[0]) * image + float(table.sigmas[0]) * noise)
    for c, t in zip(table.coefficients, table.timesteps, strict=True):
        state = advance(c[None], state, model(state.x, torch.tensor(t)))
    torch.testing.assert_close(state.x, x, atol=1e-5, rtol=1e-5)


def test_lcm_lowers_its_start_by_the_strength_and_takes_all_steps() -> None:
    """As diffusers' LatentConsistencyModelImg2ImgPipeline."""
    scheduler = LCMScheduler.from_config(CONFIG)
    scheduler.set_timesteps(4, strength=0.5)
    table = solvers.table("lcm", NoiseSchedule.from_config(CONFIG), 4, 0.5)
    assert table.timesteps.tolist() == scheduler.timesteps.tolist()


@pytest.mark.parametrize("solver", ["lcm", "tcd"])
def test_every_step_but_the_last_takes_fresh_noise(solver: str) -> None:
    """And none without a share of it, so that the loop draws none."""
    noise = solvers.table(solver, NoiseSchedule.from_config(CONFIG), 4).coefficients[:, -1]
    assert (noise[:-1] > 0).all()
    assert noise[-1] == 0
    assert not solvers.table("tcd:0", NoiseSchedule.from_config(CONFIG), 4).coefficients[:, -1].any()
