"""The mathematics of distillation, compared with diffusers' schedulers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler

from gen.builtin.model import new_scheduler
from gen.distill.consistency import ConsistencyObjective, pseudo_huber

PREDICTIONS = ["epsilon", "v_prediction", "sample"]
CLOSE = 1e-10


def config(prediction: str) -> dict[str, object]:
    changes = {"prediction_type": prediction, "rescale_betas_zero_snr": prediction != "epsilon"}
    return dict(new_scheduler().config) | changes


def of_noise() -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy latents and a prediction, in float64."""
    noise = torch.Generator().manual_seed(0)
    noisy, out = torch.randn(2, 3, 4, 8, 8, dtype=torch.float64, generator=noise)
    return noisy, out


def in_double(theirs: Any, ours: ConsistencyObjective) -> Any:
    """A scheduler of diffusers that computes in float64: its table, which is in float32, becomes ours."""
    torch.testing.assert_close(theirs.alphas_cumprod.double(), ours.alphas_cumprod, atol=1e-6, rtol=1e-5)
    theirs.alphas_cumprod = ours.alphas_cumprod
    theirs.final_alpha_cumprod = ours.alphas_cumprod[0]
    return theirs


@pytest.mark.parametrize("teacher_steps", [1000, 50, 7])
def test_timesteps_are_those_that_the_sampler_of_the_student_knows(teacher_steps: int) -> None:
    ours = ConsistencyObjective(config("epsilon"), teacher_steps)
    theirs = LCMScheduler.from_config(config("epsilon"), original_inference_steps=teacher_steps)
    theirs.set_timesteps(teacher_steps)
    assert theirs.timesteps.tolist() == ours.grid[::-1].tolist()
    assert {ours.timestep((i + 0.5) / teacher_steps) for i in range(teacher_steps)} == {*ours.grid}
    assert ours.before(torch.tensor(ours.grid)).tolist() == [0, *ours.grid[:-1]]


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_step_of_the_teacher_is_that_of_ddim(prediction: str) -> None:
    ours = ConsistencyObjective(config(prediction), 50)
    settings = {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": False}
    theirs = in_double(DDIMScheduler.from_config(config(prediction) | settings), ours)
    theirs.set_timesteps(50)
    noisy, out = of_noise()
    for time in ours.grid:
        expected = theirs.step(out, int(time), noisy).prev_sample
        times = torch.full((3,), int(time))
        torch.testing.assert_close(ours.solved(out, noisy, times), expected, atol=CLOSE, rtol=CLOSE)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_last_step_of_the_student_is_that_of_lcm(prediction: str) -> None:
    """LCMScheduler's only step gives the consistency function of the first timestep."""
    ours = ConsistencyObjective(config(prediction), 50)
    theirs = in_double(LCMScheduler.from_config(config(prediction) | {"clip_sample": False}), ours)
    theirs.set_timesteps(1)
    noisy, out = of_noise()
    expected = theirs.step(out, int(theirs.timesteps[0]), noisy).denoised
    got = ours.consistent(out, noisy, torch.full((3,), 999))
    torch.testing.assert_close(got, expected, atol=CLOSE, rtol=CLOSE)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_without_noise_the_student_is_the_identity(prediction: str) -> None:
    ours = ConsistencyObjective(config(prediction), 50)
    noisy, out = of_noise()
    assert torch.equal(ours.consistent(out, noisy, torch.zeros(3, dtype=torch.int64)), noisy)


def test_the_loss_is_square_for_small_differences_and_linear_for_large_ones() -> None:
    zeros = torch.zeros(1, 4, 8, 8)
    small, large = (pseudo_huber(zeros + d, zeros, 0.1).item() for d in (1e-3, 10.0))
    assert small == pytest.approx(1e-6 / 0.2, rel=1e-3)
    assert large == pytest.approx(9.9, rel=1e-3)


@pytest.mark.parametrize("teacher_steps", [50, 7])
def test_little_noise_weighs_more_by_as_much_as_there_is_less(teacher_steps: int) -> None:
    """Over the grid the mean is 1, so that a learning rate means the same; the paper weighs all alike."""
    ours = ConsistencyObjective(config("v_prediction"), teacher_steps, "noise")
    times = torch.from_numpy(ours.grid)
    weight, noise = ours.weight(times).double(), 1 - ours.alphas_cumprod[times]
    assert weight.mean() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(weight * noise, (weight * noise)[:1].expand(len(times)), atol=0, rtol=1e-5)
    assert ConsistencyObjective(config("v_prediction"), teacher_steps).weight(times).eq(1).all()
