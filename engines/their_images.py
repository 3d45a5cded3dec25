"""What a user's own script draws: diffusers' pipeline, loaded from the folder by diffusers, with its own scheduler."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from dermforge.common.loading_bars import without_bars
from engines.backends.torch_eager import CPU_PIXELS
from engines.checkpoint.folder import known_files, read_json, reason, weight_files
from engines.checkpoint.skeleton import INDEX, empty_network, network_class, parts_of, pipeline_class
from engines.checkpoint.tokenizer import open_tokenizer
from engines.checkpoint.weights import check_weights, load_part
from engines.conditioning import chosen, joined
from engines.draw import GREY, Start, Tick, hole
from engines.errors import EngineError
from engines.memory import explained, give_back
from engines.models import families
from engines.pipeline_spec import PipelineSpec
from engines.silence import quiet
from engines.small_decoder import with_small_decoder

GPU_IMAGES = 8


@dataclass(frozen=True)
class TheirImages:
    """What diffusers' pipeline draws in float32 of n prompts.

    Attributes
    ----------
    latents
        In the denoiser's scale, float32 [n, C, h, w].
    images
        Decoded as the folder says, by its small decoder where it has one: uint8 [n, H, W, 3].
    by_vae
        Decoded by the VAE's own decoder; the same images where there is no small one.
    """

    latents: torch.Tensor
    images: np.ndarray
    by_vae: np.ndarray


def their_images(
    folder: Path, spec: PipelineSpec, prompts: Sequence[str], start: Start, device: torch.device, tick: Tick
) -> TheirImages:
    """Images of prompts by diffusers' pipeline in float32.

    The text encoders are loaded first and freed, then the denoiser with the small VAE; it is freed before the VAE runs.

    Parameters
    ----------
    tick
        Called with the steps done and with all of them, after each step.

    Raises
    ------
    EngineError
        Diffusers cannot draw with this folder: says why.
    """
    try:
        files = known_files(folder, spec.networks, [*spec.tokens, "scheduler"])
        with files as known, quiet(), torch.inference_mode(), explained("diffusers' pipeline"):
            words, family = _words(known, spec, prompts, device), families()[spec.family]
            pipeline = _open(known, spec, without=(*spec.text_encoders, *spec.tokens)).to(device)
            takes = inspect.signature(type(pipeline).__call__).parameters
            batch = GPU_IMAGES if device.type != "cpu" else max(1, CPU_PIXELS // spec.size**2)
            generators, latents = start.generators(), []
            steps, n = start.steps, len(prompts)
            for first in range(0, n, batch):
                these = slice(first, first + batch)

                def ended(
                    _pipe: Any, step: int, _time: Any, kept: dict[str, Any], first: int = first
                ) -> dict[str, Any]:
                    tick(first // batch * steps + step + 1, -(-n // batch) * steps)
                    return kept

                drawn = pipeline(
                    **chosen(words, these),
                    latents=family.their_latents(start.noise[these].to(device)),
                    generator=generators[these],
                    num_inference_steps=steps,
                    guidance_scale=start.guidance,
                    height=spec.size,
                    width=spec.size,
                    output_type="latent",
                    **family.their_options,
                    **({"callback_on_step_end": ended} if "callback_on_step_end" in takes else {}),
                    **_hole(pipeline, spec, len(prompts[these]), device),
                )
                latents.append(family.our_latents(drawn.images, spec))
            vae, processor = pipeline.vae, pipeline.image_processor
            del pipeline
            give_back()
            whole = torch.cat(latents)
            images = by_vae = _decoded(vae, processor, whole, batch)
            if spec.small_decoder:
                images = _decoded(with_small_decoder(folder, vae), processor, whole, batch)
            return TheirImages(whole.float(), images, by_vae)
    except EngineError:
        raise
    except Exception as error:  # whatever diffusers makes of a folder that passed every check
        raise EngineError(f"diffusers cannot draw with {folder} ({reason(error)})") from error


def _open(folder: Path, spec: PipelineSpec, without: Sequence[str]) -> Any:
    """Diffusers' own pipeline object of a folder, in float32, without some of its parts."""
    kind = pipeline_class(families()[spec.family], inpaint=spec.unet_in_channels != spec.latent_channels)
    index = read_json(folder / INDEX)
    others = [name for name, value in index.items() if isinstance(value, list) and name not in spec.parts]
    tokenizers = [name for name in spec.tokens if name not in without]
    with without_bars("diffusers", "transformers"):
        given = {part: _network(folder, part) for part in spec.networks if part not in without}
        given |= dict.fromkeys((*without, *others, *tokenizers))
        if "add_watermarker" in inspect.signature(kind.__init__).parameters:
            given["add_watermarker"] = False
        pipeline = kind.from_pretrained(folder, **given, torch_dtype=torch.float32, use_safetensors=True)
    # An index that names a slow tokenizer would not let a fast one in.
    pipeline.register_modules(**{name: open_tokenizer(folder, name) for name in tokenizers})
    if tokenizers and hasattr(pipeline, "tokenizer_max_length"):  # which its constructor reads from the tokenizer
        pipeline.tokenizer_max_length = pipeline.tokenizer.model_max_length
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _network(folder: Path, part: str) -> Any:
    """One network, as diffusers or transformers load it; by our own names where they do not read the file's."""
    if check_weights(folder, part, empty_network(folder, part)):
        return load_part(folder, part)
    network, loaded = network_class(parts_of(folder)[part]).from_pretrained(
        folder / part,
        variant=weight_files(folder, part).variant,
        torch_dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
    )
    return load_part(folder, part) if loaded["missing_keys"] else network


def _words(folder: Path, spec: PipelineSpec, prompts: Sequence[str], device: torch.device) -> dict[str, torch.Tensor]:
    """What diffusers' pipeline makes of prompts and of empty ones, by the names of its arguments."""
    pipeline = _open(folder, spec, without=(spec.denoiser, "vae", "scheduler")).to(device)
    settings = SimpleNamespace(**read_json(folder / spec.denoiser / "config.json"))
    setattr(pipeline, spec.denoiser, SimpleNamespace(config=settings))  # some ask it for widths
    words = joined([families()[spec.family].their_prompt(pipeline, text, device) for text in prompts])
    del pipeline
    give_back()
    return words


def _hole(pipeline: Any, spec: PipelineSpec, n: int, device: torch.device) -> dict[str, Any]:
    """For inpainting: a grey image, the mask, and the latents of what is not masked."""
    if spec.unet_in_channels == spec.latent_channels:
        return {}
    grey = torch.full((n, 3, spec.size, spec.size), GREY / 255, device=device)
    mask = (
        hole(spec.latent_size).repeat_interleave(spec.vae_scale_factor, 0).repeat_interleave(spec.vae_scale_factor, 1)
    )
    latents = pipeline.vae.encode(grey * 2 - 1).latent_dist.mean * pipeline.vae.config.scaling_factor
    masks = mask.expand(n, 1, -1, -1).to(device)
    return {"image": grey, "mask_image": masks, "masked_image_latents": latents, "strength": 1.0}


def _decoded(vae: Any, processor: Any, latents: torch.Tensor, batch: int) -> np.ndarray:
    images = []
    for these in latents.split(batch):
        unscaled = these / vae.config.scaling_factor + (vae.config.shift_factor or 0)
        pixels = vae.decode(unscaled, return_dict=False)[0]
        images.append(processor.postprocess(pixels, output_type="np", do_denormalize=[True] * len(these)))
    return np.asarray((np.concatenate(images) * 255).round().astype(np.uint8))
