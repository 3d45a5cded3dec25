"""The forward process, what the network predicts, and the loss, as diffusers' own training scripts compute them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_snr
from family_pipelines import PIPELINES, flux, opened, pixart, sd3, sdxl
from torch import Tensor

from engines.checkpoint.folder import read_json
from gen.builtin.model import new_scheduler
from gen.diffusion.flow import FlowSchedule
from gen.finetune import methods
from gen.finetune.base import load_base, read_base
from gen.finetune.objective import Diffusion, Flow, loss, objective_of

SIZE = 64
PROMPT = "a plaque"


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_objective_is_that_of_the_library(prediction: str) -> None:
    """Parity with diffusers' DDPMScheduler, the forward process of its training scripts."""
    config = dict(new_scheduler().config) | {"prediction_type": prediction}
    if prediction == "epsilon":
        config["rescale_betas_zero_snr"] = False
    reference, ours = DDPMScheduler.from_config(config), Diffusion(config)
    clean, noise = torch.randn(2, 5, 4, 8, 8)
    t = torch.tensor([0, 1, 400, 998, 999])
    torch.testing.assert_close(ours.noised(clean, noise, t), reference.add_noise(clean, noise, t), atol=2e-5, rtol=1e-4)
    target = {"epsilon": noise, "sample": clean, "v_prediction": reference.get_velocity(clean, noise, t)}[prediction]
    torch.testing.assert_close(ours.target(clean, noise, t), target, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weighs_as_the_library_does(prediction: str) -> None:
    """`train_text_to_image.py` of diffusers with --snr_gamma 5."""
    config = dict(new_scheduler().config) | {"prediction_type": prediction, "rescale_betas_zero_snr": False}
    t = torch.tensor([0, 1, 400, 998, 999])
    snr = compute_snr(DDPMScheduler.from_config(config), t)
    expected = torch.stack([snr, 5.0 * torch.ones_like(snr)], dim=1).min(dim=1)[0] / (snr + (prediction != "epsilon"))
    ours = Diffusion(config, min_snr=5.0)
    torch.testing.assert_close(ours.weight(t), expected.float(), rtol=1e-4, atol=1e-6)
    assert Diffusion(config).weight(t).eq(1).all()


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_noise_levels_are_drawn_as_the_library_draws_them(shift: float) -> None:
    """`train_dreambooth_lora_sd3.py` with its logit-normal density takes the nearest of 1000 times; ours are exact."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    ours = Flow(FlowSchedule.from_config({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": shift}))
    for z in (-2.5, -0.7, 0.0, 0.4, 1.9):
        u = compute_density_for_timestep_sampling("logit_normal", 1, logit_mean=-z, logit_std=0.0)
        theirs = scheduler.timesteps[(u * scheduler.config.num_train_timesteps).long()]
        assert abs(ours.timestep(NormalDist().cdf(z)) - float(theirs)) <= shift * 1.01


@pytest.mark.parametrize("tokens", [256, 4096])
def test_noise_levels_are_shifted_by_the_size_of_an_image(tokens: int) -> None:
    """As FLUX.1's pipeline shifts them: half of all times lie above the shifted middle."""
    config = dict(FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True).config)
    config["_class_name"] = "FlowMatchEulerDiscreteScheduler"
    mu = {256: 0.5, 4096: 1.15}[tokens]
    expected = np.exp(mu) / (np.exp(mu) + 1)
    assert Flow(FlowSchedule.from_config(config, tokens)).timestep(0.5) == pytest.approx(1000 * expected, rel=1e-5)


def velocity(folder: Path) -> Path:
    """SDXL that predicts v, as its newer descendants do."""
    made = sdxl(folder)
    path = made / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text().replace('"epsilon"', '"v_prediction"'))
    return made


def of_unet(pipeline: Any, noisy: Tensor, times: Tensor, told: dict[str, Tensor]) -> Tensor:
    """`train_text_to_image_sdxl.py`."""
    time_ids = torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]] * len(noisy))
    beside = {"time_ids": time_ids, "text_embeds": told["pooled"]}
    return pipeline.unet(noisy, times, told["text"], added_cond_kwargs=beside, return_dict=False)[0]


def of_sd3(pipeline: Any, noisy: Tensor, times: Tensor, told: dict[str, Tensor]) -> Tensor:
    """`train_dreambooth_lora_sd3.py`."""
    return pipeline.transformer(
        hidden_states=noisy,
        timestep=times,
        encoder_hidden_states=told["text"],
        pooled_projections=told["pooled"],
        return_dict=False,
    )[0]


def of_flux(pipeline: Any, noisy: Tensor, times: Tensor, told: dict[str, Tensor]) -> Tensor:
    """`train_dreambooth_lora_flux.py`, whose --guidance_scale is 3.5."""
    n, channels, height, width = noisy.shape
    out = pipeline.transformer(
        hidden_states=FluxPipeline._pack_latents(noisy, n, channels, height, width),
        timestep=times / 1000,
        guidance=torch.full([n], 3.5),
        pooled_projections=told["pooled"],
        encoder_hidden_states=told["text"],
        txt_ids=torch.zeros(told["text"].shape[1], 3),
        img_ids=FluxPipeline._prepare_latent_image_ids(n, height // 2, width // 2, "cpu", torch.float32),
        return_dict=False,
    )[0]
    return FluxPipeline._unpack_latents(out, height * 8, width * 8, 8)


def of_pixart(pipeline: Any, noisy: Tensor, times: Tensor, told: dict[str, Tensor]) -> Tensor:
    """`train_pixart_lora_hf.py` of PixArt's own repository: the learnt variance is cut off."""
    out = pipeline.transformer(
        noisy,
        encoder_hidden_states=told["text"],
        encoder_attention_mask=told["mask"],
        timestep=times,
        added_cond_kwargs={"resolution": None, "aspect_ratio": None},
    ).sample
    return out.chunk(2, 1)[0]


def their_text(pipeline: Any) -> dict[str, Tensor]:
    """A prompt and a dropped one, as the pipeline encodes them for guidance."""
    kind = type(pipeline).__name__
    if kind == "FluxPipeline":
        text, pooled, _ = pipeline.encode_prompt([PROMPT, ""], None)
        return {"text": text, "pooled": pooled}
    if kind == "PixArtAlphaPipeline":
        text, mask, no_text, no_mask = pipeline.encode_prompt(PROMPT)
        return {"text": torch.cat([text, no_text]), "mask": torch.cat([mask, no_mask]).float()}
    text, no_text, pooled, no_pooled = pipeline.encode_prompt(PROMPT, *[None] * (2 if "3" in kind else 1))
    return {"text": torch.cat([text, no_text]), "pooled": torch.cat([pooled, no_pooled])}


@pytest.mark.parametrize(
    ("make", "predict"),
    [
        (sdxl, of_unet),
        (PIPELINES["sdxl-encoded"], of_unet),
        (velocity, of_unet),
        (sd3, of_sd3),
        (PIPELINES["sd3-without-t5"], of_sd3),
        (flux, of_flux),
        (pixart, of_pixart),
    ],
)
@torch.no_grad()
def test_the_loss_is_that_of_diffusers_own_training_scripts(
    make: Callable[[Path], Path], predict: Callable[..., Tensor], tmp_path: Path
) -> None:
    """One batch of two prompts, of which one is dropped, in float32."""
    folder = make(tmp_path)
    pipeline = opened(folder)
    clean, noise = torch.randn(2, 2, pipeline.vae.config.latent_channels, SIZE // 8, SIZE // 8)
    if isinstance(pipeline.scheduler, FlowMatchEulerDiscreteScheduler):
        scheduler, indices = FlowMatchEulerDiscreteScheduler.from_config(pipeline.scheduler.config), [300, 800]
        times, sigmas = scheduler.timesteps[indices], scheduler.sigmas[indices].reshape(-1, 1, 1, 1)
        noisy, target = (1.0 - sigmas) * clean + sigmas * noise, noise - clean
    else:
        config = read_json(folder / "scheduler" / "scheduler_config.json")
        ddpm, times = DDPMScheduler.from_config(config), torch.tensor([300, 800])
        noisy = ddpm.add_noise(clean, noise, times)
        target = noise if config["prediction_type"] == "epsilon" else ddpm.get_velocity(clean, noise, times)
    theirs = torch.nn.functional.mse_loss(predict(pipeline, noisy, times, their_text(pipeline)), target)

    base = load_base(*read_base(folder, SIZE))
    network, objective = methods.full(base, [PROMPT, ""]), objective_of(base.spec)
    predicted = network(objective.noised(clean, noise, times), times, torch.tensor([0, 1]))
    ours = loss(predicted, objective.target(clean, noise, times), objective.weight(times))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
