"""The scheduler of a folder is diffusers' own of its class, with what its file leaves out; others are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.checkpoint.scheduler import open_scheduler, own_scheduler, scheduler_settings
from engines.checkpoint.scheduler_classes import FOREIGN, OWN
from engines.errors import EngineError
from engines.pipeline_spec import read_spec

A_FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.mark.parametrize("name", [*OWN, *FOREIGN])
def test_settings_that_are_left_out_are_those_of_the_class(name: str) -> None:
    scheduler = open_scheduler(Path("p"), name, {})
    found = scheduler_settings(scheduler)
    assert found["beta_end"] == scheduler.config.beta_end
    assert {"beta_start", "prediction_type"} <= set(found["_use_default_values"])
    again = own_scheduler(found)
    assert type(again).__name__ == found["_class_name"] == name
    assert again.alphas_cumprod.equal(scheduler.alphas_cumprod)


@pytest.mark.parametrize(
    ("name", "config", "word"),
    [
        ("FlowMatchEulerDiscreteScheduler", {}, "is a FlowMatchEulerDiscreteScheduler; expected one of.*Flow matching"),
        ("EDMEulerScheduler", {}, "is a EDMEulerScheduler"),
        ("DDIMScheduler", {"thresholding": True}, "thresholding = True"),
        ("EulerDiscreteScheduler", {"thresholding": True}, "thresholding = True, which a EulerDiscreteScheduler"),
        ("PNDMScheduler", {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr = True, which a PNDMScheduler"),
        ("DDIMScheduler", {"rescale_betas_zero_snr": True}, "zero_snr with prediction_type epsilon"),
        ("DDIMScheduler", {"trained_betas": [0.001] * 500}, "500 trained_betas for 1000"),
        ("DDIMScheduler", {"trained_betas": [2.0] * 1000}, "no noise schedule"),
        ("DDIMScheduler", {"beta_end": float("nan")}, "no noise schedule"),
        (
            "DDIMScheduler",
            {"beta_schedule": "cosine"},
            "beta_schedule = 'cosine'; expected one of linear, scaled_linear",
        ),
        ("DDPMScheduler", {"beta_schedule": "sigmoid"}, "beta_schedule = 'sigmoid'"),
        ("DDIMScheduler", {"prediction_type": "flow_prediction"}, "prediction_type = 'flow_prediction'"),
        (
            "EulerDiscreteScheduler",
            {"timestep_spacing": "cosine"},
            "timestep_spacing = 'cosine'; expected one of leading",
        ),
        ("EulerDiscreteScheduler", {"final_sigmas_type": "sigma_min"}, "final_sigmas_type = 'sigma_min'"),
        ("EulerDiscreteScheduler", {"use_flow_sigmas": True}, "use_flow_sigmas = True, which a EulerDiscreteScheduler"),
        ("DEISMultistepScheduler", {"use_flow_sigmas": True}, "use_flow_sigmas = True, which is not supported"),
        ("DPMSolverSinglestepScheduler", {"final_sigmas_type": "sigma_min"}, "final_sigmas_type = 'sigma_min'"),
        ("EulerDiscreteScheduler", {"use_beta_sigmas": True, "use_karras_sigmas": True}, "makes no EulerDiscrete.*one"),
        ("EulerDiscreteScheduler", {"sigma_min": 0.1}, "sigma_min = 0.1"),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, "algorithm_type = 'sde-dpmsolver"),
        ("DPMSolverMultistepScheduler", {"solver_order": 3}, "solver_order = 3"),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True}, "use_flow_sigmas = True"),
        ("UniPCMultistepScheduler", {"solver_type": "bh1"}, "solver_type = 'bh1'"),
        ("LCMScheduler", {"original_inference_steps": 2000}, "makes no LCMScheduler"),
        ("EulerAncestralDiscreteScheduler", {"prediction_type": "sample"}, "makes no EulerAncestral.*not implemented"),
        ("DDIMScheduler", {"invented": 1}, "invented = 1, which this version does not know"),
        ("DDIMScheduler", {"num_train_timesteps": 0}, "num_train_timesteps = 0; expected a whole number of at least 1"),
        ("DDIMScheduler", {"num_train_timesteps": "1000"}, "num_train_timesteps = '1000'; expected a whole"),
        ("DDIMScheduler", {"num_train_timesteps": None}, "num_train_timesteps = None; expected a whole"),
        ("PNDMScheduler", {"num_train_timesteps": 0.5}, "num_train_timesteps = 0.5; expected a whole"),
        ("DDIMScheduler", {"beta_end": "0.012"}, "beta_end = '0.012'; expected a number, not in quotes"),
        ("EulerDiscreteScheduler", {"beta_start": [0.1]}, r"beta_start = \[0.1\]; expected a number"),
        ("DDIMScheduler", {"set_alpha_to_one": "false"}, "set_alpha_to_one = 'false'; expected true or false"),
        ("DDIMScheduler", {"steps_offset": -1}, "steps_offset = -1; expected a whole number of at least 0"),
        ("DDIMScheduler", {"trained_betas": 5}, "trained_betas = 5; expected a list of numbers"),
    ],
)
def test_what_is_not_followed_is_refused_in_one_line(name: str, config: dict[str, object], word: str) -> None:
    with pytest.raises(EngineError, match=word) as caught:
        open_scheduler(Path("p"), name, config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "config", "word"),
    [
        ("EulerDiscreteScheduler", {}, "expected one of FlowMatchEuler.*trained by flow matching"),
        ("PNDMScheduler", {}, "expected one of FlowMatchEuler"),
        ("DPMSolverMultistepScheduler", {}, "no use_flow_sigmas = True"),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": False}, "use_flow_sigmas = False"),
        ("DPMSolverMultistepScheduler", A_FLOW | {"prediction_type": "epsilon"}, "prediction_type = 'epsilon'"),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True}, "no prediction_type = flow_prediction"),
        ("DPMSolverMultistepScheduler", A_FLOW | {"use_karras_sigmas": True}, "use_karras_sigmas = True"),
        ("UniPCMultistepScheduler", A_FLOW | {"use_beta_sigmas": True}, "use_beta_sigmas = True"),
        ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}, "stochastic_sampling = True"),
        ("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}, "invert_sigmas = True"),
        ("FlowMatchEulerDiscreteScheduler", {"time_shift_type": "square"}, "makes no FlowMatchEuler"),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 0}, "no noise schedule"),
        ("FlowMatchEulerDiscreteScheduler", {"shift": -1.0}, "no noise schedule"),
        ("FlowMatchEulerDiscreteScheduler", {"shift": float("nan")}, "no noise schedule"),
        ("FlowMatchEulerDiscreteScheduler", {"shift_terminal": 1.5}, "no noise schedule"),
        ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True, "max_shift": None}, "expected numbers"),
        (
            "FlowMatchEulerDiscreteScheduler",
            {"use_dynamic_shifting": True, "max_image_seq_len": 256},
            "the same base_image_seq_len and max_image_seq_len: 256",
        ),
        ("FlowMatchHeunDiscreteScheduler", {"use_dynamic_shifting": True}, "which a FlowMatchHeun.* does not have"),
        ("FlowMatchHeunDiscreteScheduler", {"use_karras_sigmas": True}, "which a FlowMatchHeun.* does not have"),
        ("FlowMatchEulerDiscreteScheduler", {"invented": 1}, "invented = 1, which this version does not know"),
    ],
)
def test_what_is_not_followed_of_a_flow_is_refused_in_one_line(name: str, config: dict[str, object], word: str) -> None:
    with pytest.raises(EngineError, match=word) as caught:
        open_scheduler(Path("p"), name, config, flow=True)
    assert "\n" not in str(caught.value)


SDXL = SD | {
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
    "use_karras_sigmas": False,
}
BY_SIZE = {
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
}
SANA = {
    "algorithm_type": "dpmsolver++",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "dynamic_thresholding_ratio": 0.995,
    "euler_at_final": False,
    "final_sigmas_type": "zero",
    "flow_shift": 3.0,
    "lambda_min_clipped": float("-inf"),
    "lower_order_final": True,
    "num_train_timesteps": 1000,
    "prediction_type": "flow_prediction",
    "sample_max_value": 1.0,
    "solver_order": 2,
    "solver_type": "midpoint",
    "steps_offset": 0,
    "thresholding": False,
    "timestep_spacing": "linspace",
    "trained_betas": None,
    "use_beta_sigmas": False,
    "use_exponential_sigmas": False,
    "use_flow_sigmas": True,
    "use_karras_sigmas": False,
    "use_lu_lambdas": False,
    "variance_type": None,
}
QWEN = {"max_image_seq_len": 8192, "max_shift": 0.9, "shift": 1.0, "shift_terminal": 0.02, "invert_sigmas": False}


@pytest.mark.parametrize(
    ("name", "config", "flow"),
    [
        ("EulerDiscreteScheduler", SDXL, False),
        ("EulerAncestralDiscreteScheduler", SDXL | {"timestep_spacing": "trailing"}, False),
        ("LCMScheduler", SDXL | {"original_inference_steps": 50, "thresholding": False}, False),
        ("TCDScheduler", SDXL, False),
        ("FlowMatchEulerDiscreteScheduler", {"num_train_timesteps": 1000, "shift": 3.0}, True),
        ("FlowMatchEulerDiscreteScheduler", BY_SIZE, True),
        ("FlowMatchEulerDiscreteScheduler", BY_SIZE | {"shift": 1.0, "use_dynamic_shifting": False}, True),
        ("FlowMatchEulerDiscreteScheduler", BY_SIZE | QWEN | {"time_shift_type": "exponential"}, True),
        ("DPMSolverMultistepScheduler", SANA, True),
    ],
    ids=["sdxl", "sdxl-turbo", "lcm", "tcd", "sd3", "flux-dev", "flux-schnell", "qwen-image", "sana"],
)
def test_files_as_published_models_have_them_pass(name: str, config: dict[str, object], flow: bool) -> None:
    file = {"_class_name": name, "_diffusers_version": "0.30.0"} | config
    assert scheduler_settings(open_scheduler(Path("p"), name, file, flow))["_class_name"] == name


def test_left_over_settings_of_diffusion_have_no_influence_on_a_flow() -> None:
    """Sana's file keeps the betas of the class that it was made from."""
    left_over = SD | {"timestep_spacing": "trailing", "steps_offset": 1, "clip_sample": True}
    for name, config in (("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}), ("DPMSolverMultistepScheduler", A_FLOW)):
        plain, mixed = (open_scheduler(Path("p"), name, c, flow=True) for c in (config, config | left_over))
        assert plain.sigmas.equal(mixed.sigmas)


def test_settings_of_other_classes_are_left_overs_without_influence() -> None:
    """A file that was made from another scheduler's keeps its keys."""
    open_scheduler(Path("p"), "EulerDiscreteScheduler", SD | {"skip_prk_steps": True, "solver_order": 3})


def test_the_pipeline_repairs_old_settings_as_diffusers_does(folder: Path, edit: Callable[..., None]) -> None:
    """Diffusers' pipeline takes steps_offset 0 for 1, and clips nothing, whatever the file says."""
    edit("scheduler/scheduler_config.json", steps_offset=0, clip_sample=True)
    spec = read_spec(folder)
    assert (spec.scheduler["steps_offset"], spec.scheduler["clip_sample"]) == (1, False)


def test_clipped_latents_are_refused_where_diffusers_clips_them(make_model: Callable[..., Path]) -> None:
    """The pipeline for inpainting does not repair clip_sample, which a DDIMScheduler has by default."""
    folder = make_model(in_channels=9)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "clip_sample"}))
    with pytest.raises(EngineError, match="clip_sample = True, by which diffusers' StableDiffusionInpaintPipeline"):
        read_spec(folder)


def test_the_class_is_that_of_the_index(folder: Path, edit: Callable[..., None]) -> None:
    """Diffusers loads the class that model_index.json names, whatever the scheduler's own file says."""
    edit("model_index.json", scheduler=["diffusers", "EulerDiscreteScheduler"])
    assert read_spec(folder).scheduler["_class_name"] == "EulerDiscreteScheduler"
