"""The steps of `gen sample` draw what diffusers' own pipeline draws with the scheduler of its folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines import Bundle, Engine, ParityError, build
from engines.certificate import Certificate, read_certificate
from engines.draw import start_of
from gen import builtin
from gen.diffusion import solvers
from gen.diffusion.schedules import NoiseSchedule
from gen.sampling.own_steps import own_steps

SD: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CASES: list[dict[str, Any]] = [
    {"_class_name": "DDIMScheduler", **SD, "clip_sample": True},
    {"_class_name": "DDIMScheduler", **SD, "steps_offset": 0, "set_alpha_to_one": False},
    {"_class_name": "DDIMScheduler", **SD, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
    {"_class_name": "EulerDiscreteScheduler", **SD},
    {"_class_name": "EulerDiscreteScheduler", **SD, "timestep_spacing": "leading", "use_karras_sigmas": True},
    {"_class_name": "DPMSolverMultistepScheduler", **SD},
    {"_class_name": "DPMSolverMultistepScheduler", **SD, "use_karras_sigmas": True, "prediction_type": "sample"},
    {"_class_name": "UniPCMultistepScheduler", **SD, "timestep_spacing": "trailing", "trained_betas": None},
    {"_class_name": "LCMScheduler"},
    {"_class_name": "LCMScheduler", "original_inference_steps": 100},
    {"_class_name": "TCDScheduler"},
    {"_class_name": "EulerDiscreteScheduler", **SD, "use_exponential_sigmas": True},
    {"_class_name": "UniPCMultistepScheduler", **SD, "use_beta_sigmas": True, "prediction_type": "v_prediction"},
    {"_class_name": "PNDMScheduler", **SD, "skip_prk_steps": True, "clip_sample": False},
    {"_class_name": "EulerAncestralDiscreteScheduler", **SD},
    {"_class_name": "EulerAncestralDiscreteScheduler", **SD, "timestep_spacing": "trailing"},
    {"_class_name": "HeunDiscreteScheduler", **SD},
]


def with_scheduler(config: dict[str, Any], model: Path, folder: Path) -> Path:
    """A built-in pipeline with another scheduler."""
    shutil.copytree(model, folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"scheduler": ["diffusers", config["_class_name"]]}))
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    return folder


def certified(model: Path, out: Path) -> Certificate:
    prompts = ["An image of plaque, dark skin", "x"]
    bundle: Bundle = build(model, out, backend="torch", rows=4, prompts=prompts, solve=own_steps)
    return read_certificate(bundle)


@pytest.mark.parametrize("config", CASES, ids=lambda config: config["_class_name"])
def test_each_scheduler_draws_diffusers_images(config: dict[str, Any], tmp_path: Path) -> None:
    certificate = certified(with_scheduler(config, builtin.pipeline_folder(), tmp_path / "model"), tmp_path / "bundle")
    assert certificate.images.psnr_worst >= 50
    assert certificate.scheduler == config["_class_name"]
    assert certificate.own_steps == (config["_class_name"] in {name for name, _ in solvers.CLASSES.values()})


@pytest.mark.parametrize("change", [{"prediction_type": "sample"}, {"beta_schedule": "squaredcos_cap_v2"}])
def test_heun_is_left_to_diffusers_where_it_rounds(change: dict[str, Any], tmp_path: Path) -> None:
    config = {"_class_name": "HeunDiscreteScheduler", **SD} | change
    certificate = certified(with_scheduler(config, builtin.pipeline_folder(), tmp_path / "model"), tmp_path / "bundle")
    assert certificate.images.psnr_worst >= 50
    assert not certificate.own_steps


def test_it_says_how_many_images_are_done(open_engine: Callable[..., Engine]) -> None:
    engine, said = open_engine(), list[str]()
    own_steps(engine, engine.encode_text(["a", "b", "", ""]), None, start_of(engine.spec, 2, steps=3), said.append)
    assert said == ["image 1 of 2", "image 2 of 2"]


def test_inpainting_draws_diffusers_images(tmp_path: Path) -> None:
    config = {"_class_name": "EulerDiscreteScheduler", **SD, "prediction_type": "v_prediction"}
    model = with_scheduler(config, builtin.pipeline_folder(inpaint=True), tmp_path / "model")
    assert certified(model, tmp_path / "bundle").images.psnr_worst >= 50


@pytest.mark.parametrize("change", [{"spacing": "leading"}, {"ramp": "karras"}])
def test_steps_of_other_settings_fail_the_certificate(
    change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate would notice steps that are spaced as this project and not as diffusers would."""
    config = {"_class_name": "DPMSolverMultistepScheduler", **SD, "prediction_type": "v_prediction"}
    model = with_scheduler(config, builtin.pipeline_folder(), tmp_path / "model")
    of_file = NoiseSchedule.from_config
    monkeypatch.setattr(NoiseSchedule, "from_config", lambda settings: replace(of_file(settings), **change))
    with pytest.raises(ParityError, match="whole images compared with diffusers'"):
        certified(model, tmp_path / "bundle")
