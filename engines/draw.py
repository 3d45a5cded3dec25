"""Plain sampling loops, for certificates and calibrations; `gen` samples plans."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engines.checkpoint.scheduler import own_scheduler
from engines.conditioning import Conditioning, chosen, joined, with_guidance
from engines.engine import Engine, Networks
from engines.pipeline_spec import PipelineSpec

STEPS, GUIDANCE = 8, 3.0
GREY = 128
Tick = Callable[[int, int], None]
#: Called with how far the images are, in words.
SoFar = Callable[[str], None]


@dataclass(frozen=True)
class Start:
    """Where the images of a certificate start: one for each of n prompts, seeded by its place.

    Attributes
    ----------
    noise
        float32 [n, C, h, w], of unit variance.
    """

    noise: torch.Tensor
    steps: int = STEPS
    guidance: float = GUIDANCE

    def generators(self) -> list[torch.Generator]:
        """The source of each image's fresh noise, for solvers that add some at every step; on the CPU."""
        return [torch.Generator().manual_seed(i) for i in range(len(self.noise))]


#: An engine, the conditioning of n prompts and of n empty ones, further channels of the UNet's input or None, and where
#: to start -> latents, float32 [n, C, h, w]; None where it does not have the steps of the pipeline's scheduler.
Solve = Callable[[Networks, Conditioning, torch.Tensor | None, Start, SoFar], torch.Tensor | None]


def start_of(spec: PipelineSpec, n: int, steps: int | None = None) -> Start:
    """The start of n images of a pipeline; a distilled one has the steps and the guidance that it is made for."""
    few = spec.few_steps
    usual, guidance = (few.steps, few.guidance) if few else (STEPS, GUIDANCE)
    shape = (spec.latent_channels, spec.latent_size, spec.latent_size)
    noise = [np.random.Generator(np.random.Philox([7, i])).standard_normal(shape, dtype=np.float32) for i in range(n)]
    return Start(torch.from_numpy(np.stack(noise)), steps or usual, guidance)


def denoise(
    unet: Callable[[torch.Tensor, torch.Tensor, Conditioning], torch.Tensor],
    scheduler: Any,
    latents: torch.Tensor,
    text: Conditioning,
    guidance: float,
    extra: torch.Tensor | None,
    tick: Tick = lambda *_: None,
    generators: Sequence[torch.Generator] | None = None,
    *,
    classifier_free: bool = True,
) -> torch.Tensor:
    """Latents after every step of a diffusers scheduler with guidance, float32 [n, C, h, w].

    Parameters
    ----------
    unet
        Latents, timesteps and conditioning of 2 n batch rows -> the UNet's prediction, float32.
    scheduler
        With its timesteps set.
    latents
        Where denoising starts, at the scheduler's own scale, float32 [n, C, h, w].
    text
        Conditioning of the n conditional batch rows and then of the n unconditional ones.
    extra
        Further channels of the UNet's input, for inpainting: float32 [n, 1 + C, h, w].
    generators
        Of fresh noise, one an image, for schedulers that add some.
    classifier_free
        Whether guidance is a difference of predictions; otherwise it is an input, where the model knows guidance.
    """
    n = len(latents)
    if not classifier_free:
        text = with_guidance(chosen(text, slice(n)), guidance)
    takes = "generator" in inspect.signature(scheduler.step).parameters
    more = {"generator": list(generators)} if takes and generators is not None else {}
    for step, time in enumerate(scheduler.timesteps):
        rows = scheduler.scale_model_input(latents, time) if hasattr(scheduler, "scale_model_input") else latents
        rows = rows if extra is None else torch.cat([rows, extra], dim=1)
        if classifier_free:
            rows = torch.cat([rows, rows])
        guided = unet(rows, time.to(latents.device).expand(len(rows)), text)
        if classifier_free:
            conditional, unconditional = guided.chunk(2)
            guided = unconditional + guidance * (conditional - unconditional)
        latents = scheduler.step(guided, time, latents, **more).prev_sample
        tick(step + 1, len(scheduler.timesteps))
    return latents


def by_diffusers(
    engine: Networks, text: Conditioning, extra: torch.Tensor | None, start: Start, so_far: SoFar
) -> torch.Tensor:
    """A `Solve` by diffusers' scheduler of the pipeline's class and settings, around the engine's UNet."""
    scheduler = own_scheduler(engine.spec.scheduler)
    set_steps(scheduler, engine.spec, start.steps)
    latents = start.noise.to(engine.device) * getattr(scheduler, "init_noise_sigma", 1.0)  # a flow's is 1

    def tick(done: int, total: int) -> None:
        so_far(f"step {done} of {total}")

    return denoise(
        engine.denoise,
        scheduler,
        latents,
        text,
        start.guidance,
        extra,
        tick,
        start.generators(),
        classifier_free=engine.spec.guidance == "classifier-free",
    )


def set_steps(scheduler: Any, spec: PipelineSpec, steps: int) -> None:
    """Set the timesteps of a diffusers scheduler as diffusers' pipeline of that family does."""
    config, given = scheduler.config, dict[str, Any]()
    if spec.sigmas_from_one:
        given["sigmas"] = np.linspace(1.0, 1 / steps, steps)
    if config.get("use_dynamic_shifting"):
        few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        least, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        given["mu"] = least + (most - least) * ((spec.image_tokens or few) - few) / (many - few)
    scheduler.set_timesteps(**given if "sigmas" in given else {"num_inference_steps": steps, **given})


def draw(engine: Engine, prompts: Sequence[str], steps: int = STEPS, guidance: float = GUIDANCE) -> np.ndarray:
    """Images of prompts by DDIM (arXiv 2010.02502) or a flow's Euler steps, with noise seeded by position.

    Returns
    -------
    numpy.ndarray
        uint8 [n, H, W, 3].
    """
    text = with_empty(engine, prompts)
    return engine.decode(draw_latents(engine, text, steps, guidance)).cpu().numpy()


def with_empty(engine: Networks, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
    """The conditioning of n prompts and of n empty negative ones."""
    return joined([engine.encode_text(prompts), engine.encode_text([""] * len(prompts), negative=True)])


def draw_latents(engine: Engine, text: Conditioning, steps: int = STEPS, guidance: float = GUIDANCE) -> torch.Tensor:
    """The latents of `draw`, float32 [n, C, h, w], from the conditioning of n prompts and of n empty ones."""
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

    spec, n = engine.spec, len(next(iter(text.values()))) // 2
    if spec.prediction_type == "flow_prediction":
        scheduler = FlowMatchEulerDiscreteScheduler.from_config(spec.scheduler)
    else:
        scheduler = DDIMScheduler.from_config(spec.scheduler, clip_sample=False)
    set_steps(scheduler, spec, steps)
    latents = start_of(spec, n).noise.to(engine.device)
    extra = inpainting_channels(engine, n)
    free = spec.guidance == "classifier-free"
    return denoise(engine.denoise, scheduler, latents, text, guidance, extra, classifier_free=free)


def inpainting_channels(engine: Networks, n: int) -> torch.Tensor | None:
    """The mask and the masked latents of a grey image with a hole, for a UNet that takes them: [n, 1 + C, h, w]."""
    spec = engine.spec
    if spec.unet_in_channels == spec.latent_channels:
        return None
    grey = torch.full((n, spec.size, spec.size, 3), GREY, dtype=torch.uint8, device=engine.device)
    mask = hole(spec.latent_size).to(engine.device).expand(n, 1, -1, -1)
    return torch.cat([mask, engine.encode(grey)], dim=1)


def hole(side: int) -> torch.Tensor:
    """The mask of a certificate: 1 in the middle, where it is redrawn, float32 [side, side]."""
    mask = torch.zeros(side, side)
    mask[side // 4 : -(side // 4), side // 4 : -(side // 4)] = 1
    return mask
