"""Solvers: equal to diffusers' schedulers, linear, independent of neighbours; bad settings are refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from diffusers.schedulers import scheduling_lcm

from gen import solvers
from gen.solvers import NoiseSchedule, State, StepTable
from shards.errors import UserError

PEERS = {
    "ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "dpmsolver++": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler, "lcm": LCMScheduler,
}
BETAS = {
    "sd": {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
    "linear": {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}


def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """A bounded, nonlinear stand-in for a UNet that depends on the state and the timestep."""
    return torch.tanh(x.flip(-1) * 0.7 + 0.1 * x + t.float() / 1000) + 0.3 * torch.sin(3 * x)


def config(prediction: str, betas: str, spacing: str, zero_snr: bool) -> dict:
    return {
        **BETAS[betas], "num_train_timesteps": 1000, "prediction_type": prediction, "steps_offset": 1,
        "timestep_spacing": spacing, "rescale_betas_zero_snr": zero_snr, "set_alpha_to_one": False,
        "clip_sample": False,
    }


def theirs(name: str, settings: dict, steps: int, start: torch.Tensor, karras: bool = False) -> torch.Tensor:
    scheduler = PEERS[name].from_config({**settings, "use_karras_sigmas": karras})
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "set_begin_index"):  # else diffusers fails where Karras' rounded timesteps repeat
        scheduler.set_begin_index(0)
    x = start * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x = scheduler.step(model(scheduler.scale_model_input(x, t), t), t, x).prev_sample
    return x


def ours(steps: StepTable, start: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    state = State.start(start * steps.start_scale)
    for i, t in enumerate(steps.timesteps):
        out = model(state.x, torch.tensor(t))
        state = solvers.advance(steps.coefficients[i : i + 1], state, out, noise[i][None])
    return state.x


GRID = [
    (name, prediction, betas, spacing, zero, steps)
    for name, prediction, betas, spacing, zero, steps in itertools.product(
        ("ddim", "euler", "dpmsolver++", "unipc"), ("epsilon", "v_prediction"), BETAS,
        ("leading", "trailing", "linspace", "karras"), (False, True), (1, 2, 4, 20, 50),
    )
    if not (zero and prediction == "epsilon") and not (name == "ddim" and spacing == "karras")
    # A cosine schedule blows noise predictions up by 1 / alpha = 2e4, in diffusers' float32 too, and rounds
    # (or truncates) Karras' timesteps wherever float32 happens to put them.
    and not (betas == "cosine" and (prediction == "epsilon" or spacing == "karras"))
]


@pytest.mark.parametrize("name", ["ddim", "euler", "dpmsolver++", "unipc"])
def test_trajectory_equals_diffusers_on_a_grid_of_settings(name: str) -> None:
    """Whole trajectories, every prediction, spacing, schedule and count: within 1e-4 of their size."""
    noise = torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    worst: dict[tuple, float] = {}
    for case in (c for c in GRID if c[0] == name):
        _, prediction, betas, spacing, zero, steps = case
        karras = spacing == "karras"
        settings = config(prediction, betas, "linspace" if karras else spacing, zero)
        expected = theirs(name, settings, steps, start, karras)
        table = solvers.table(f"{name}:{spacing}", NoiseSchedule.from_config(settings), steps)
        size = max(1.0, float(expected.abs().max()))
        error = float((ours(table, start, noise) - expected).abs().max()) / size
        # diffusers keeps Euler's state at the scale of sigma, 4096 and more, and so rounds it that much.
        rounding = 2.0**-22 * table.sigmas[0] / table.alphas[0] if name == "euler" else 0.0
        if not error < max(1e-4, rounding):
            worst[case] = error
    assert not worst


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", [1, 4, 8])
def test_lcm_equals_diffusers_with_the_same_injected_noise(
    prediction: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    settings = config(prediction, "sd", "leading", zero_snr=False)
    draws = iter(noise)
    monkeypatch.setattr(scheduling_lcm, "randn_tensor", lambda *_, **__: next(draws)[None])
    expected = theirs("lcm", settings, steps, start)
    got = ours(solvers.table("lcm", NoiseSchedule.from_config(settings), steps), start, noise)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["ddim", "euler", "dpmsolver++", "unipc"])
@pytest.mark.parametrize("strength", [0.3, 0.5, 0.97])
def test_image_to_image_starts_where_diffusers_starts(name: str, strength: float) -> None:
    """The truncated trajectory (low order again at its start) equals diffusers'."""
    settings = config("epsilon", "sd", "leading", zero_snr=False)
    image = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2)) * 0.5
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    scheduler = PEERS[name].from_config(settings)
    scheduler.set_timesteps(20)
    timesteps = scheduler.timesteps[20 - int(20 * strength):]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(20 - int(20 * strength))
    x = scheduler.add_noise(image, noise, timesteps[:1])
    for t in timesteps:
        x = scheduler.step(model(scheduler.scale_model_input(x, t), t), t, x).prev_sample
    steps = solvers.table(name, NoiseSchedule.from_config(settings), 20, strength)
    state = State.start(float(steps.alphas[0]) * image + float(steps.sigmas[0]) * noise)
    for i, t in enumerate(steps.timesteps):
        state = solvers.advance(steps.coefficients[i : i + 1], state, model(state.x, torch.tensor(t)))
    torch.testing.assert_close(state.x, x, atol=1e-4, rtol=1e-4)


def test_images_of_different_solvers_share_a_batch_to_the_bit() -> None:
    """One image's state does not depend on its neighbours' solvers, steps or number."""
    schedule = NoiseSchedule.from_config(config("v_prediction", "sd", "trailing", zero_snr=True))
    kinds = (("unipc", 7), ("ddim", 5), ("dpmsolver++", 9), ("lcm", 4))
    tables = [solvers.table(solver, schedule, steps) for solver, steps in kinds]
    x = torch.randn(4, 4, 5, 3)
    out, noise = torch.randn_like(x), torch.randn_like(x)
    state = State(x, torch.randn_like(x), torch.randn_like(x), torch.randn_like(x))
    together = solvers.advance(np.stack([t.coefficients[2] for t in tables]), state, out, noise)
    for i, t in enumerate(tables):
        one = slice(i, i + 1)
        own = State(x[one], state.base[one], state.d1[one], state.d2[one])
        alone = solvers.advance(t.coefficients[2:3], own, out[one], noise[one])
        assert torch.equal(alone.x, together.x[one])
        assert torch.equal(alone.base, together.base[one])


def test_guidance_interval_counts_noise_levels_as_the_paper() -> None:
    """Kynkäänniemi's SDXL interval (0.28, 5.42] leaves Stable Diffusion's first and last steps unguided."""
    schedule = NoiseSchedule.from_config(config("epsilon", "sd", "leading", zero_snr=False))
    steps = solvers.table("dpmsolver++", schedule, 20)
    guided = steps.guided((0.28, 5.42))
    assert steps.guided(None).all()
    assert not guided[0]
    assert not guided[-1]
    assert 10 <= guided.sum() <= 16


@pytest.mark.parametrize(("solver", "steps", "strength", "word"), [
    ("heun", 20, 1.0, "unknown solver"), ("ddim:cosine", 20, 1.0, "unknown spacing"),
    ("ddim:karras", 20, 1.0, "euler:karras"), ("lcm:karras", 4, 1.0, "of its own"),
    ("ddim", 0, 1.0, "expected 1 to"),
    ("ddim", 2000, 1.0, "expected 1 to"), ("ddim", 20, 1.5, "strength"), ("ddim", 4, 0.1, "leaves no step"),
    ("lcm", 40, 0.5, "at most 25"),
])
def test_bad_settings_are_refused_in_one_line(solver: str, steps: int, strength: float, word: str) -> None:
    schedule = NoiseSchedule.from_config(config("epsilon", "sd", "leading", zero_snr=False))
    with pytest.raises(UserError, match=word):
        solvers.table(solver, schedule, steps, strength)


def test_a_model_that_predicts_noise_from_pure_noise_is_refused() -> None:
    with pytest.raises(UserError, match="rescale_betas_zero_snr"):
        NoiseSchedule.from_config(config("epsilon", "sd", "leading", zero_snr=True))
