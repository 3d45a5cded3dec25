"""One plain sampling loop, for certificates, calibrations and previews; `gen` samples plans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from engines.engine import Call, Engine

STEPS, GUIDANCE = 8, 3.0


#: A timestep, and the solver's update: the guided prediction and the latents -> the latents after the step.
Step = tuple[torch.Tensor, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]


def denoise(
    unet: Call,
    steps: Iterable[Step],
    latents: torch.Tensor,
    text: torch.Tensor,
    guidance: float,
    extra: torch.Tensor | None = None,
) -> torch.Tensor:
    """Latents after every step with classifier-free guidance, float32 [n, C, h, w].

    Parameters
    ----------
    unet
        Latents, timesteps and conditioning of 2 n batch rows -> the UNet's prediction, float32.
    latents
        Where denoising starts, float32 [n, C, h, w].
    text
        Conditioning of the n conditional batch rows and then of the n unconditional ones, float32 [2 n, ...].
    extra
        Further channels of the UNet's input, for inpainting: float32 [n, 1 + C, h, w].
    """
    for time, update in steps:
        rows = latents if extra is None else torch.cat([latents, extra], dim=1)
        prediction = unet(torch.cat([rows, rows]), time.to(latents.device).expand(2 * len(rows)), text)
        conditional, unconditional = prediction.chunk(2)
        latents = update(unconditional + guidance * (conditional - unconditional), latents)
    return latents


def ddim_steps(config: Mapping[str, Any], steps: int) -> list[Step]:
    """The steps of DDIM (Song et al. 2020, arXiv 2010.02502) by a pipeline's `scheduler_config.json`."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config(dict(config))
    scheduler.set_timesteps(steps)

    def step(time: torch.Tensor) -> Step:
        return time, lambda prediction, latents: scheduler.step(prediction, time, latents).prev_sample

    return [step(time) for time in scheduler.timesteps]


def draw(engine: Engine, prompts: Sequence[str], steps: int = STEPS, guidance: float = GUIDANCE) -> np.ndarray:
    """Images of prompts by DDIM, from noise that each prompt's position seeds: uint8 [n, H, W, 3]."""
    spec = engine.spec
    shape = (spec.latent_channels, spec.latent_size, spec.latent_size)
    noise = [
        np.random.Generator(np.random.Philox([7, i])).standard_normal(shape, dtype=np.float32)
        for i in range(len(prompts))
    ]
    latents = torch.from_numpy(np.stack(noise)).to(engine.device)
    text = engine.encode_text([*prompts, *[""] * len(prompts)])
    extra = _inpainting_channels(engine, len(prompts))
    latents = denoise(engine.denoise, ddim_steps(spec.scheduler, steps), latents, text, guidance, extra)
    return engine.decode(latents).cpu().numpy()


def _inpainting_channels(engine: Engine, n: int) -> torch.Tensor | None:
    """The mask and the masked latents of a grey image with a hole, for a UNet that takes them."""
    spec = engine.spec
    if spec.unet_in_channels == spec.latent_channels:
        return None
    grey = torch.full((n, spec.size, spec.size, 3), 128, dtype=torch.uint8, device=engine.device)
    mask = torch.zeros((n, 1, spec.latent_size, spec.latent_size), device=engine.device)
    mask[:, :, spec.latent_size // 4 : -(spec.latent_size // 4), spec.latent_size // 4 : -(spec.latent_size // 4)] = 1
    return torch.cat([mask, engine.encode(grey)], dim=1)
