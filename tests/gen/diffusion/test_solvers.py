"""Solvers by name: what a plan may say, what a pipeline's own scheduler is, and what is refused in one line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from trajectories import BETAS

from dermforge.common.errors import UserError
from gen.diffusion import solvers
from gen.diffusion.flow import FlowSchedule
from gen.diffusion.schedules import NoiseSchedule
from gen.diffusion.spacing import RAMPS

SD = BETAS["sd"] | {"_class_name": "PNDMScheduler"}


@pytest.mark.parametrize(
    ("solver", "steps", "strength", "word"),
    [
        ("rk4", 20, 1.0, "unknown solver"),
        ("ddim:cosine", 20, 1.0, "unknown spacing"),
        ("ddim:karras", 20, 1.0, "euler:karras"),
        ("ddim:beta", 20, 1.0, "euler:beta"),
        ("lcm:karras", 4, 1.0, "of its own"),
        ("tcd:karras", 4, 1.0, "share 'karras' of fresh noise"),
        ("tcd:1.5", 4, 1.0, "share '1.5' of fresh noise"),
        ("tcd:nan", 4, 1.0, "share 'nan' of fresh noise"),
        ("ddim", 0, 1.0, "expected 1 to"),
        ("ddim", 2000, 1.0, "expected 1 to"),
        ("ddim", 20, 1.5, "strength"),
        ("ddim", 4, 0.1, "leaves no step"),
        ("lcm", 40, 0.5, "at most 25"),
        ("tcd", 51, 1.0, "at most 50"),
    ],
)
def test_bad_settings_are_refused_in_one_line(solver: str, steps: int, strength: float, word: str) -> None:
    schedule = solvers.read_schedule(SD | {"timestep_spacing": "leading"})
    with pytest.raises(UserError, match=word) as caught:
        solvers.table(solver, schedule, steps, strength)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spacing", RAMPS)
def test_a_spacing_that_a_plan_names_is_the_setting_of_the_scheduler(spacing: str) -> None:
    for solver in ("euler", "heun", "dpmsolver++", "unipc"):
        named = solvers.table(f"{solver}:{spacing}", solvers.read_schedule(SD), 6)
        setting = {f"use_{spacing}_sigmas": True, "timestep_spacing": "linspace"}
        np.testing.assert_array_equal(
            named.coefficients, solvers.table(solver, solvers.read_schedule(SD | setting), 6).coefficients
        )


def test_a_named_spacing_of_timesteps_takes_the_place_of_noise_levels() -> None:
    schedule = solvers.read_schedule(SD | {"use_karras_sigmas": True})
    assert isinstance(schedule, NoiseSchedule)
    plain = solvers.table("euler:trailing", replace(schedule, ramp=None), 6)
    np.testing.assert_array_equal(solvers.table("euler:trailing", schedule, 6).coefficients, plain.coefficients)


@pytest.mark.parametrize(
    ("scheduler", "solver"),
    [
        ("DDIMScheduler", "ddim"),
        ("HeunDiscreteScheduler", "heun"),
        ("LCMScheduler", "lcm"),
        ("TCDScheduler", "tcd:0"),
        ("PNDMScheduler", None),
        ("FlowMatchEulerDiscreteScheduler", "euler"),
        ("FlowMatchHeunDiscreteScheduler", "heun"),
    ],
)
def test_the_solver_of_a_pipelines_own_scheduler(scheduler: str, solver: str | None) -> None:
    assert solvers.of_pipeline({"_class_name": scheduler}) == solver


def test_each_solver_has_a_class_and_each_of_a_flow_is_a_solver() -> None:
    assert set(solvers.CLASSES) == set(solvers.SOLVERS)
    assert set(solvers.FLOW_CLASSES) < set(solvers.SOLVERS)


def test_settings_of_a_flow_are_a_flow() -> None:
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    assert solvers.read_schedule(config, from_one=True) == FlowSchedule(shift=3.0, from_one=True)
    with pytest.raises(UserError, match="flow matching"):
        NoiseSchedule.from_config(config)
