"""Torch, operation by operation: the networks of a pipeline, and the reference that every engine is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engines.bundle import Bundle
from engines.compile.precision import DTYPES, lower, lower_vae, vae_dtypes
from engines.engine import Calls, Engine
from engines.pipeline_spec import PipelineSpec, weight_files
from engines.silence import quiet


@dataclass(frozen=True)
class Modules:
    """The three networks of a pipeline."""

    text_encoder: Any
    unet: Any
    vae: Any


def load_part(folder: Path, part: str) -> Any:
    """One network of a pipeline folder in float32; safetensors only."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    kinds = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    more = {"attn_implementation": "eager"} if part == "text_encoder" else {}
    place = folder / part
    with quiet():
        found = kinds[part].from_pretrained(place, use_safetensors=True, variant=weight_files(place)[1], **more)
    return found.float()  # some versions keep the precision of the file


def load_modules(folder: Path, precision: str = "fp32", device: torch.device | str = "cpu") -> Modules:
    """The networks of a pipeline folder in one precision; norms stay in float32."""
    dtype = DTYPES[precision]
    text, unet = (lower(load_part(folder, part), dtype) for part in ("text_encoder", "unet"))
    vae = lower_vae(load_part(folder, "vae"), vae_dtypes(dtype))
    return Modules(*(part.to(device).requires_grad_(False) for part in (text, unet, vae)))


def eager(modules: Modules, spec: PipelineSpec, device: torch.device) -> Calls:
    """The four calls, operation by operation, for any number of rows."""
    bare = bare_calls(modules, spec, device)
    return replace(
        bare,
        text=no_grad(bare.text),
        denoise=no_grad(bare.denoise),
        decode=no_grad(bare.decode),
        encode=no_grad(bare.encode),
    )


def bare_calls(modules: Modules, spec: PipelineSpec, device: torch.device) -> Calls:
    """The four calls without inference mode: a compiled function may run in it and must not enter it."""
    half = 127.5

    def text(ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = modules.text_encoder(ids.to(device), return_dict=False)[0].float()
        return out

    def denoise(latents: torch.Tensor, timesteps: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        kind = _dtype(modules.unet)
        out: torch.Tensor = modules.unet(latents.to(kind), timesteps, conditioning.to(kind), return_dict=False)[
            0
        ].float()
        return out

    def decode(latents: torch.Tensor) -> torch.Tensor:
        return _decoded(modules, spec, latents).round_().to(torch.uint8)

    def encode(images: torch.Tensor) -> torch.Tensor:
        pixels = images.permute(0, 3, 1, 2).float() / half - 1
        mean = modules.vae.encode(pixels.to(_dtype(modules.vae.encoder)), return_dict=False)[0].mean.float()
        out: torch.Tensor = (mean - spec.shift_factor) * spec.scaling_factor
        return out

    return Calls(text, denoise, decode, encode, device)


def _decoded(modules: Modules, spec: PipelineSpec, latents: torch.Tensor) -> torch.Tensor:
    """Images before they are rounded: float32 [n, H, W, 3] in 0..255."""
    unscaled = latents / spec.scaling_factor + spec.shift_factor
    pixels = modules.vae.decode(unscaled.to(_dtype(modules.vae.decoder)), return_dict=False)[0].float()
    out: torch.Tensor = (pixels * 127.5 + 127.5).clamp_(0, 255).permute(0, 2, 3, 1).contiguous()
    return out


def _dtype(module: nn.Module) -> torch.dtype:
    """The precision of a module's products; its norms stay in float32."""
    return next(p.dtype for p in module.parameters() if p.ndim > 1)


class Reference(Engine):
    """A pipeline folder in float32, operation by operation, with a bundle's tokenizer and numbers."""

    def __init__(self, model: Path, bundle: Bundle, device: torch.device) -> None:
        self.modules = load_modules(model, "fp32", device)
        super().__init__(bundle, "torch", bundle.manifest.rows, eager(self.modules, bundle.manifest.spec, device))

    def decode_exact(self, latents: torch.Tensor) -> torch.Tensor:
        """`decode` before rounding, of all latents in one batch: float32 [n, H, W, 3] in 0..255."""
        with torch.inference_mode():
            return _decoded(self.modules, self.spec, latents)


class Lowered(Engine):
    """A pipeline folder in its bundle's precision on the CPU, for a graph that nothing on this machine can run."""

    def __init__(self, model: Path, bundle: Bundle) -> None:
        modules, device = load_modules(model, bundle.manifest.precision), torch.device("cpu")
        super().__init__(bundle, "torch", bundle.manifest.rows, eager(modules, bundle.manifest.spec, device))


def no_grad(call: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A call in torch's inference mode."""

    def wrapped(*arrays: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return call(*arrays)

    return wrapped
