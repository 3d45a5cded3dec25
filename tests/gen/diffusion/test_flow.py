"""Flow matching: noise levels and whole trajectories equal to those of diffusers' schedulers."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from trajectories import START, difference, in_double, model, ours, theirs

from dermforge.common.errors import UserError
from gen.diffusion import solvers
from gen.diffusion.flow import FlowSchedule, is_flow
from gen.diffusion.steps import SolverState, advance

EULER, HEUN = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"
DPM, UNIPC = "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"
KINDS = {
    EULER: FlowMatchEulerDiscreteScheduler,
    HEUN: FlowMatchHeunDiscreteScheduler,
    DPM: DPMSolverMultistepScheduler,
    UNIPC: UniPCMultistepScheduler,
}
SOLVER = {EULER: "euler", HEUN: "heun", DPM: "dpmsolver++", UNIPC: "unipc"}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
BY_SIZE = {"use_dynamic_shifting": True}
#: Class, settings, and whether the pipeline passes noise levels from 1, as FLUX's does.
CASES: list[tuple[str, dict[str, Any], bool]] = [
    (EULER, {}, False),
    (EULER, {"shift": 3.0}, False),  # SD 3
    (EULER, {"shift": 1.0}, True),  # FLUX.1-schnell
    (EULER, {"shift": 3.0} | BY_SIZE, True),  # FLUX.1-dev
    (EULER, BY_SIZE, False),
    (EULER, {"num_train_timesteps": 500, "shift": 2.5}, False),
    (EULER, {"time_shift_type": "linear", "base_shift": 0.7, "max_shift": 2.0} | BY_SIZE, True),
    (EULER, {"base_image_seq_len": 100, "max_image_seq_len": 1000} | BY_SIZE, True),
    (EULER, {"shift_terminal": 0.02, "shift": 2.0}, False),
    (EULER, {"shift_terminal": 0.02, "shift": 2.0}, True),
    (EULER, {"use_karras_sigmas": True, "shift": 3.0}, False),
    (EULER, {"use_exponential_sigmas": True, "shift": 3.0}, False),
    (EULER, {"use_beta_sigmas": True, "shift": 3.0}, True),
    (HEUN, {}, False),
    (HEUN, {"shift": 3.0, "num_train_timesteps": 500}, False),
    (DPM, FLOW, False),
    (DPM, FLOW | {"flow_shift": 3.0}, False),  # Sana
    (DPM, FLOW | BY_SIZE, False),
    (DPM, FLOW | {"num_train_timesteps": 500, "flow_shift": 0.5}, False),
    (UNIPC, FLOW, False),
    (UNIPC, FLOW | {"flow_shift": 3.0}, False),
    (UNIPC, FLOW | {"time_shift_type": "linear"} | BY_SIZE, False),
    (UNIPC, FLOW | {"shift_terminal": 0.05, "flow_shift": 2.0}, False),
]
TOKENS = 1024


def prepared(kind: Any, config: dict[str, Any], steps: int, from_one: bool) -> Any:
    """A scheduler as a pipeline of diffusers prepares it."""
    scheduler = kind.from_config({k: v for k, v in config.items() if k != "_class_name"})
    more: dict[str, Any] = {}
    if config.get("use_dynamic_shifting"):
        defaults = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5, "max_shift": 1.15}
        more["mu"] = calculate_shift(TOKENS, *(scheduler.config.get(key, value) for key, value in defaults.items()))
    if from_one:
        more["sigmas"] = np.linspace(1.0, 1 / steps, steps)
    scheduler.set_timesteps(**({} if from_one else {"num_inference_steps": steps}), **more)
    return scheduler


@pytest.mark.parametrize(("name", "settings", "from_one"), CASES)
def test_trajectory_equals_diffusers(name: str, settings: dict[str, Any], from_one: bool) -> None:
    """Within 1e-6 in double precision, and 1e-4 in the single precision in which both run."""
    config, double = settings | {"_class_name": name}, in_double(KINDS[name])
    schedule = solvers.read_schedule(config, TOKENS, from_one)
    assert solvers.of_pipeline(config) == SOLVER[name]
    for steps in (1, 2, 4, 20, 50):
        if settings.get("shift_terminal") and steps == 1:
            continue  # not a number in diffusers; refused, below
        table = solvers.table(SOLVER[name], schedule, steps)
        exact, shipped = (prepared(kind, config, steps, from_one) for kind in (double, KINDS[name]))
        np.testing.assert_allclose(table.timesteps, exact.timesteps, rtol=1e-6)
        np.testing.assert_allclose(table.sigmas, exact.sigmas, atol=1e-7)
        np.testing.assert_allclose(table.alphas + table.sigmas, 1, rtol=1e-15)
        assert difference(ours(table, START.double()), theirs(exact, START.double())) < 1e-6
        assert difference(ours(table, START), theirs(shipped, START)) < 1e-4


@pytest.mark.parametrize("strength", [0.3, 0.61, 0.97])
@pytest.mark.parametrize("name", [EULER, DPM, UNIPC])
def test_image_to_image_starts_where_diffusers_starts(name: str, strength: float) -> None:
    """As in the pipelines of SD 3 and FLUX, which round the number of steps up."""
    config = {"_class_name": name, **({"shift": 3.0} if name == EULER else FLOW | {"flow_shift": 3.0})}
    scheduler = prepared(KINDS[name], config, 20, from_one=False)
    first = int(max(20 - min(20 * strength, 20), 0))
    scheduler.set_begin_index(first)
    image, noise = START * 0.5, START.flip(-1)
    sigma = float(scheduler.sigmas[first])
    x = sigma * noise + (1 - sigma) * image
    for t in scheduler.timesteps[first:]:
        x = scheduler.step(model(x, t), t, x).prev_sample
    table = solvers.table(SOLVER[name], solvers.read_schedule(config), 20, strength)
    state = SolverState.start(float(table.alphas[0]) * image + float(table.sigmas[0]) * noise)
    for c, t in zip(table.coefficients, table.timesteps, strict=True):
        state = advance(c[None], state, model(state.x, torch.tensor(t)))
    torch.testing.assert_close(state.x, x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [DPM, UNIPC])
def test_another_solver_takes_the_shift_of_the_pipeline(name: str) -> None:
    """`shift` of FlowMatchEuler is `flow_shift` of the others, and Euler takes theirs."""
    euler, other = {"_class_name": EULER, "shift": 3.0}, {"_class_name": name, "flow_shift": 3.0} | FLOW
    for solver in solvers.FLOW_CLASSES:
        a, b = (solvers.table(solver, solvers.read_schedule(config), 10) for config in (euler, other))
        np.testing.assert_array_equal(a.coefficients, b.coefficients)


def test_euler_of_a_perfect_denoiser_arrives_in_any_number_of_steps() -> None:
    """The path of one image is a straight line."""
    clean, noise = START.double(), START.flip(-1).double()
    for solver in solvers.FLOW_CLASSES:
        table = solvers.table(solver, FlowSchedule(shift=3.0), 5)
        state = SolverState.start(float(table.alphas[0]) * clean + float(table.sigmas[0]) * noise)
        for c in table.coefficients:
            state = advance(c[None], state, noise - clean)
        torch.testing.assert_close(state.x, clean, atol=1e-9, rtol=0)


def test_a_shift_moves_steps_to_more_noise_and_keeps_the_ends() -> None:
    plain, moved = (FlowSchedule(shift=shift).shifted(np.linspace(0, 1, 11)) for shift in (1.0, 3.0))
    assert (moved[1:-1] > plain[1:-1]).all()
    assert (moved[0], moved[-1]) == (0, 1)


def test_a_guidance_interval_leaves_pure_noise_unguided() -> None:
    """Its noise level sigma / alpha is infinite."""
    guided = solvers.table("euler", FlowSchedule(), 10).guided((0.3, 5.0))
    assert not guided[0]
    assert 0 < guided.sum() < 9


@pytest.mark.parametrize(
    ("config", "flow"),
    [
        ({}, False),
        ({"_class_name": "DDIMScheduler", "prediction_type": "epsilon", "shift": 3.0}, False),
        ({"_class_name": EULER}, True),
        ({"_class_name": HEUN}, True),
        ({"_class_name": DPM, "use_flow_sigmas": True}, True),
        ({"_class_name": DPM, "use_flow_sigmas": False}, False),
        ({"_class_name": UNIPC, "prediction_type": "flow_prediction"}, True),
    ],
)
def test_what_is_a_flow(config: dict[str, Any], flow: bool) -> None:
    assert is_flow(config) == flow


@pytest.mark.parametrize(
    ("solver", "settings", "steps", "word"),
    [
        ("ddim", {}, 4, "no solver of flow matching.*expected one of euler, heun"),
        ("lcm", {}, 4, "no solver of flow matching"),
        ("tcd:0.3", {}, 4, "no solver of flow matching"),
        ("euler:trailing", {}, 4, "unknown spacing 'trailing' in 'euler:trailing'; expected one of karras"),
        ("dpmsolver++:karras", {}, 4, "dpmsolver.. has no spacing 'karras' in flow matching"),
        ("unipc", {"use_beta_sigmas": True}, 4, "unipc has no spacing 'beta' in flow matching"),
        ("dpmsolver++", {"shift_terminal": 0.1}, 4, "no shift_terminal"),
        ("euler", {"shift_terminal": 0.1}, 1, "at least 2"),
        ("euler", {"num_train_timesteps": 100}, 101, "expected 1 to 100"),
    ],
)
def test_what_a_flow_does_not_have_is_refused(solver: str, settings: dict[str, Any], steps: int, word: str) -> None:
    with pytest.raises(UserError, match=word):
        solvers.table(solver, solvers.read_schedule({"_class_name": EULER} | settings), steps)


def test_a_shift_by_size_needs_the_size() -> None:
    with pytest.raises(UserError, match="give its tokens"):
        solvers.read_schedule({"_class_name": EULER} | BY_SIZE)


def test_the_size_is_read_as_diffusers_pipelines_read_it() -> None:
    """Where a class has no keys for it, by the defaults of the pipelines."""
    given = inspect.signature(calculate_shift).parameters
    defaults = {name: p.default for name, p in given.items() if p.default is not p.empty}
    for tokens in (64, 256, 1024, 4096, 9000):
        schedule = FlowSchedule.from_config({"_class_name": UNIPC} | FLOW | BY_SIZE, tokens)
        assert schedule.shift == pytest.approx(np.exp(calculate_shift(tokens, **defaults)), rel=1e-12)
