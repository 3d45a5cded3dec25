"""Every setting of every scheduler class: it moves our trajectory as diffusers', or has no influence, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from trajectories import START, difference, ours, theirs

from engines.checkpoint.scheduler import open_scheduler, own_scheduler, scheduler_settings
from engines.checkpoint.scheduler_classes import FLOW, FOREIGN, OWN, followed, keys
from engines.errors import EngineError
from gen.diffusion import solvers
from gen.diffusion.flow import FlowSchedule

STEPS, TOKENS = 6, 1024
DIFFUSION: dict[str, Any] = {
    "beta_start": 0.0008,
    "beta_end": 0.013,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "clip_sample": False,
    "skip_prk_steps": True,
}
A_FLOW: dict[str, Any] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
#: For every setting of the classes, values that are no class's default, nor those above.
VALUES: dict[str, tuple[Any, ...]] = {
    "num_train_timesteps": (500,),
    "beta_start": (0.002,),
    "beta_end": (0.03,),
    "beta_schedule": ("linear", "squaredcos_cap_v2"),
    "trained_betas": (np.linspace(0.001, 0.02, 1000).tolist(),),
    "prediction_type": ("epsilon", "sample"),
    "thresholding": (True,),
    "dynamic_thresholding_ratio": (0.9,),
    "sample_max_value": (2.0,),
    "clip_sample_range": (2.0,),
    "set_alpha_to_one": (False,),
    "steps_offset": (0, 3),
    "timestep_spacing": ("trailing", "linspace"),
    "rescale_betas_zero_snr": (True,),
    "interpolation_type": ("log_linear",),
    "use_karras_sigmas": (True,),
    "use_exponential_sigmas": (True,),
    "use_beta_sigmas": (True,),
    "use_lu_lambdas": (True,),
    "use_flow_sigmas": (True, False),
    "sigma_min": (0.1,),
    "sigma_max": (5.0,),
    "timestep_type": ("continuous",),
    "final_sigmas_type": ("sigma_min",),
    "solver_order": (1, 3),
    "algorithm_type": ("sde-dpmsolver++",),
    "solver_type": ("heun", "bh1"),
    "lower_order_final": (False, True),
    "euler_at_final": (True,),
    "flow_shift": (3.0,),
    "lambda_min_clipped": (-1.0,),
    "variance_type": ("learned",),
    "use_dynamic_shifting": (True,),
    "time_shift_type": ("linear",),
    "shift_terminal": (0.1,),
    "predict_x0": (False,),
    "disable_corrector": ([1],),
    "solver_p": ({},),
    "original_inference_steps": (100,),
    "timestep_scaling": (0.001,),
    "skip_prk_steps": (False,),
    "shift": (3.0,),
    "base_shift": (0.8,),
    "max_shift": (2.0,),
    "base_image_seq_len": (128,),
    "max_image_seq_len": (2048,),
    "invert_sigmas": (True,),
    "stochastic_sampling": (True,),
}
BY_SIZE = ("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len", "time_shift_type")
#: Clipping is decided where diffusers' pipeline is made: tests/engines/checkpoint/test_scheduler.py.
ELSEWHERE = {"clip_sample"}
SLOW = ("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler")  # to make
CASES = [(name, False) for name in (*OWN, *FOREIGN) if name not in SLOW] + [(name, True) for name in FLOW]
SLOW_CASES = [pytest.param(name, False, marks=pytest.mark.slow) for name in SLOW]


def base_of(name: str, flow: bool, by_size: bool = False) -> dict[str, Any]:
    if not flow:
        return DIFFUSION
    return (A_FLOW if name in OWN else {}) | ({"use_dynamic_shifting": True} if by_size else {})


def end_of_diffusers(settings: dict[str, Any], schedule: Any) -> torch.Tensor:
    """Where the steps of a pipeline's own scheduler end; a foreign class's by DPM-Solver++ made from its settings."""
    name, more = settings["_class_name"], dict[str, Any]()
    if name in FOREIGN:  # with its own forward process, where the other class has another default
        order = {"solver_order": 2, "algorithm_type": "dpmsolver++", "solver_type": "midpoint"}
        process = {key: settings[key] for key in ("beta_start", "beta_end", "beta_schedule")}
        scheduler = DPMSolverMultistepScheduler.from_config(settings, **order, **process)
    else:
        scheduler = own_scheduler(settings)
    if isinstance(schedule, FlowSchedule) and schedule.dynamic:
        more["mu"] = schedule.shift if settings.get("time_shift_type") == "linear" else np.log(schedule.shift)
    scheduler.set_timesteps(STEPS, **more)
    return theirs(scheduler, START, **({"eta": 0.0} if name == "TCDScheduler" else {}))


def opened(name: str, flow: bool, config: dict[str, Any]) -> dict[str, Any] | str:
    """The settings of a scheduler, or what is said where they are refused."""
    try:
        return scheduler_settings(open_scheduler(Path("p"), name, config, flow))
    except EngineError as error:
        return str(error)


def ends(settings: dict[str, Any] | str) -> tuple[torch.Tensor, torch.Tensor]:
    """Where our steps and diffusers' end."""
    assert isinstance(settings, dict), settings
    schedule = solvers.read_schedule(json.loads(json.dumps(settings)), TOKENS)
    table = solvers.table(solvers.of_pipeline(settings) or "dpmsolver++", schedule, STEPS)
    return ours(table, START), end_of_diffusers(settings, schedule)


@pytest.mark.parametrize(("name", "flow"), [*CASES, *SLOW_CASES])
def test_each_setting_is_carried_out_or_without_influence_or_refused(name: str, flow: bool) -> None:
    known, refused, moved = followed(name, flow), set(), set()
    for by_size in {key in BY_SIZE for key in keys(name)} if flow else (False,):
        base = base_of(name, flow, by_size)
        mine, before = ends(opened(name, flow, base))
        assert difference(mine, before) < 1e-4
        for key, value in changes(base, {key for key in keys(name) if not flow or (key in BY_SIZE) == by_size}):
            settings = opened(name, flow, base | {key: value})
            if isinstance(settings, str):
                assert f"{key} = " in settings or f"makes no {name}" in settings
                refused.add(key)
                continue
            got, expected = ends(settings)
            assert difference(got, expected) < 1e-4, (key, value)
            if difference(expected, before) > 1e-4:
                moved.add(key)
    assert not moved & known.without_influence
    if name not in FOREIGN:  # of which only the forward process and its spacing are taken
        assert known.used & keys(name) - refused - ELSEWHERE <= moved
        assert set(known.only) & keys(name) <= refused | {"use_flow_sigmas"}


def changes(base: dict[str, Any], names: set[str]) -> list[tuple[str, Any]]:
    """Other values than the base's for each of these settings."""
    pairs = [(key, value) for key in sorted(names - ELSEWHERE) for value in VALUES[key]]
    return [(key, value) for key, value in pairs if base.get(key) != value]


@pytest.mark.parametrize(("name", "flow"), CASES)
def test_a_file_without_settings_has_the_defaults_of_its_class(name: str, flow: bool) -> None:
    mine, exact = ends(opened(name, flow, base_of(name, flow) if flow else {"clip_sample": False}))
    assert difference(mine, exact) < 1e-4
