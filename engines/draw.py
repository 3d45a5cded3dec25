"""One plain sampling loop, for certificates and calibrations; `gen` samples plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from engines.engine import Call, Engine

STEPS, GUIDANCE = 8, 3.0
Tick = Callable[[int, int], None]


def denoise(
    unet: Call,
    scheduler: Any,
    latents: torch.Tensor,
    text: torch.Tensor,
    guidance: float,
    extra: torch.Tensor | None,
    tick: Tick = lambda *_: None,
) -> torch.Tensor:
    """Latents after every step of a diffusers scheduler with classifier-free guidance, float32 [n, C, h, w].

    Parameters
    ----------
    unet
        Latents, timesteps and conditioning of 2 n batch rows -> the UNet's prediction, float32.
    scheduler
        With its timesteps set.
    latents
        Where denoising starts, float32 [n, C, h, w].
    text
        Conditioning of the n conditional batch rows and then of the n unconditional ones, float32 [2 n, ...].
    extra
        Further channels of the UNet's input, for inpainting: float32 [n, 1 + C, h, w].
    """
    for step, time in enumerate(scheduler.timesteps):
        rows = latents if extra is None else torch.cat([latents, extra], dim=1)
        prediction = unet(torch.cat([rows, rows]), time.to(latents.device).expand(2 * len(rows)), text)
        conditional, unconditional = prediction.chunk(2)
        guided = unconditional + guidance * (conditional - unconditional)
        latents = scheduler.step(guided, time, latents).prev_sample
        tick(step + 1, len(scheduler.timesteps))
    return latents


def draw(engine: Engine, prompts: Sequence[str], steps: int = STEPS, guidance: float = GUIDANCE) -> np.ndarray:
    """Images of prompts by DDIM (arXiv 2010.02502), with noise seeded by position: uint8 [n, H, W, 3]."""
    text = engine.encode_text([*prompts, *[""] * len(prompts)])
    return engine.decode(draw_latents(engine, text, steps, guidance)).cpu().numpy()


def draw_latents(
    engine: Engine, text: torch.Tensor, steps: int = STEPS, guidance: float = GUIDANCE, tick: Tick = lambda *_: None
) -> torch.Tensor:
    """The latents of `draw`, float32 [n, C, h, w], from the embeddings of n prompts and of n empty ones.

    Parameters
    ----------
    tick
        Called with the steps done and with all of them, after each step.
    """
    from diffusers import DDIMScheduler

    spec, n = engine.spec, len(text) // 2
    scheduler = DDIMScheduler.from_config(spec.scheduler)
    scheduler.set_timesteps(steps)
    shape = (spec.latent_channels, spec.latent_size, spec.latent_size)
    noise = [np.random.Generator(np.random.Philox([7, i])).standard_normal(shape, dtype=np.float32) for i in range(n)]
    latents = torch.from_numpy(np.stack(noise)).to(engine.device)
    extra = _inpainting_channels(engine, n)
    return denoise(engine.denoise, scheduler, latents, text, guidance, extra, tick)


def _inpainting_channels(engine: Engine, n: int) -> torch.Tensor | None:
    """The mask and the masked latents of a grey image with a hole, for a UNet that takes them."""
    spec = engine.spec
    if spec.unet_in_channels == spec.latent_channels:
        return None
    grey = torch.full((n, spec.size, spec.size, 3), 128, dtype=torch.uint8, device=engine.device)
    mask = torch.zeros((n, 1, spec.latent_size, spec.latent_size), device=engine.device)
    mask[:, :, spec.latent_size // 4 : -(spec.latent_size // 4), spec.latent_size // 4 : -(spec.latent_size // 4)] = 1
    return torch.cat([mask, engine.encode(grey)], dim=1)
