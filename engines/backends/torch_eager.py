"""Torch, operation by operation: the networks of a pipeline, and the reference that every engine is compared with."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from engines.bundle import Bundle
from engines.calls import Call, Calls, Encoder, Lazy, in_batches
from engines.checkpoint.skeleton import parts_of, read_family
from engines.compile.precision import DTYPES, lower, lower_vae, vae_dtypes
from engines.conditioning import in_precision
from engines.engine import Engine
from engines.models import families
from engines.pipeline_spec import PipelineSpec
from engines.small_decoder import load_network
from engines.text import text_call

R = TypeVar("R")
HALF = 127.5  # pixels of -1..1 are x * HALF + HALF in 0..255
CPU_PIXELS = 512 * 512  # of one batch on a CPU: one image of Stable Diffusion


@dataclass(frozen=True)
class Modules:
    """The networks of a pipeline; text encoders by part."""

    text_encoders: dict[str, Any]
    denoiser: Any
    vae: Any


def load_modules(
    folder: Path, precision: str = "fp32", device: torch.device | str = "cpu", int8: Container[str] = ()
) -> Modules:
    """The networks of a pipeline folder in one precision; norms stay in float32."""
    family = read_family(folder)
    texts = [part for part in family.text_encoders() if part in parts_of(folder)]
    parts = (*texts, family.denoiser, "vae")
    loaded = {part: load_lowered(folder, part, precision, device, part in int8) for part in parts}
    return Modules({part: loaded[part] for part in texts}, loaded[family.denoiser], loaded["vae"])


def load_lowered(folder: Path, part: str, precision: str, device: torch.device | str, int8: bool = False) -> Any:
    """One network of a pipeline folder in one precision; norms stay in float32, and `int8` weights in 8 bits."""
    exact_float32()
    network, dtype = load_network(folder, part, int8), DTYPES[precision]
    lowered = lower_vae(network, vae_dtypes(dtype)) if part == "vae" else lower(network, dtype)
    return lowered.to(device).requires_grad_(False)


def exact_float32() -> None:
    """Keep TF32 out of this process: what an engine computes in float32, it computes in all 24 bits.

    Torch convolves in TF32 by default on CUDA. Its 11 bits alone give the built-in pipeline errors of 2.6e-4 to 7.7e-4,
    where a certificate allows 1e-4. The switch is for the whole process: calls run in several threads.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


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
    texts = {part: encoder_call(spec, part, net, device) for part, net in modules.text_encoders.items()}
    return Calls(
        text_call(spec, texts),
        denoise_call(modules.denoiser, spec),
        lambda latents: rounded(exact_call(modules.vae, spec)(latents)),
        encode_call(modules.vae, spec),
        device,
        encoders=texts,
    )


def encoder_call(spec: PipelineSpec, part: str, network: Any, device: torch.device) -> Encoder:
    """Token ids -> one text encoder's outputs, float32."""
    family = families()[spec.family]
    return lambda ids: family.text_outputs(part, network, ids.to(device))


def denoise_call(denoiser: Any, spec: PipelineSpec) -> Call:
    """Latents, timesteps and conditioning -> the denoiser's prediction, float32."""
    family = families()[spec.family]

    def denoise(latents: torch.Tensor, timesteps: torch.Tensor, *conditioning: torch.Tensor) -> torch.Tensor:
        kind = _dtype(denoiser)
        given = in_precision(dict(zip(spec.conditioning, conditioning, strict=True)), kind)
        return family.predict(denoiser, latents.to(kind), timesteps, given, spec).float()

    return denoise


def exact_call(vae: Any, spec: PipelineSpec) -> Call:
    """Latents -> images before they are rounded, float32 [n, H, W, 3] in 0..255."""

    def decode(latents: torch.Tensor) -> torch.Tensor:
        unscaled = latents / spec.scaling_factor + spec.shift_factor
        pixels = vae.decode(unscaled.to(_dtype(vae.decoder)), return_dict=False)[0].float()
        out: torch.Tensor = (pixels * HALF + HALF).clamp_(0, 255).permute(0, 2, 3, 1).contiguous()
        return out

    return decode


def rounded(images: torch.Tensor) -> torch.Tensor:
    """Images of 0..255 as uint8; overwrites them."""
    return images.round_().to(torch.uint8)


def encode_call(vae: Any, spec: PipelineSpec) -> Call:
    """Images, uint8 [n, H, W, 3] -> the posterior's mean in the UNet's scale, float32."""

    def encode(images: torch.Tensor) -> torch.Tensor:
        pixels = images.permute(0, 3, 1, 2).float() / HALF - 1
        mean = vae.encode(pixels.to(_dtype(vae.encoder)), return_dict=False)[0].mean.float()
        out: torch.Tensor = (mean - spec.shift_factor) * spec.scaling_factor
        return out

    return encode


def _dtype(module: nn.Module) -> torch.dtype:
    """The precision of a module's products; its norms stay in float32."""
    return next(p.dtype for p in module.parameters() if p.ndim > 1)


class OnePart(Engine):
    """A pipeline folder in one precision, operation by operation, that holds one network in memory at a time.

    It has the tokenizer and the numbers of a bundle of that pipeline.
    """

    def __init__(
        self, model: Path, bundle: Bundle, device: torch.device, precision: str, int8: Container[str] = ()
    ) -> None:
        spec, self.model = bundle.manifest.spec, model

        def opened(part: str, call: Callable[[Any], Callable[..., Any]]) -> Lazy:
            return Lazy(lambda: no_grad(call(load_lowered(model, part, precision, device, part in int8))))

        self.exact = opened("vae", lambda vae: exact_call(vae, spec))
        texts = {p: opened(p, partial(encoder_call, spec, p, device=device)) for p in spec.text_encoders}
        denoise = opened(spec.denoiser, lambda denoiser: denoise_call(denoiser, spec))
        encode = opened("vae", lambda vae: encode_call(vae, spec))
        decode = no_grad(lambda latents: rounded(self.exact(latents)))
        opens = (*texts.values(), denoise, self.exact, encode)
        calls = Calls(text_call(spec, texts), denoise, decode, encode, device, opened=opens, encoders=texts)
        small = small_batches(bundle, device)
        super().__init__(small, "torch", small.manifest.rows, calls)
        self.one_at_a_time()


class Reference(OnePart):
    """A pipeline folder in float32, operation by operation, with a bundle's tokenizer and numbers."""

    def __init__(self, model: Path, bundle: Bundle, device: torch.device) -> None:
        super().__init__(model, bundle, device, "fp32")

    def decode_exact(self, latents: torch.Tensor) -> torch.Tensor:
        """`decode` before rounding: float32 [n, H, W, 3] in 0..255."""
        return in_batches(self.exact, self.vae_batch, latents)


class Lowered(OnePart):
    """A pipeline folder in its bundle's precision on the CPU, for a graph that nothing on this machine can run."""

    def __init__(self, model: Path, bundle: Bundle) -> None:
        manifest = bundle.manifest
        super().__init__(model, bundle, torch.device("cpu"), manifest.precision, manifest.int8)


def small_batches(bundle: Bundle, device: torch.device) -> Bundle:
    """The bundle with batches whose activations take less memory than its weights, where it runs on a CPU."""
    manifest = bundle.manifest
    if device.type != "cpu":
        return bundle
    most = max(1, CPU_PIXELS // manifest.spec.size**2)
    sizes = {"rows": min(manifest.rows, most), "vae_batch": min(manifest.vae_batch, most)}
    return replace(bundle, manifest=manifest.model_copy(update=sizes))


def no_grad(call: Callable[..., R]) -> Callable[..., R]:
    """A call in torch's inference mode."""

    def wrapped(*arrays: torch.Tensor) -> R:
        with torch.inference_mode():
            return call(*arrays)

    return wrapped
