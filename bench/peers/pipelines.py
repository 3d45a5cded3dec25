"""The peers: other people's pipelines on the same weights, prompts, noise, solver and steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dermforge.common.errors import UserError
from dermforge.common.extras import how_to_install
from engines.silence import quiet

if TYPE_CHECKING:
    import torch

    from bench.peers.workload import Generate, Images, Workload

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class PeerModel:
    """The pipeline folder that peers load, and the device and precision they run it in."""

    folder: Path
    device: torch.device
    precision: str


def diffusers(model: PeerModel, work: Workload, batch: int) -> Generate:
    """`StableDiffusionPipeline` as its documentation shows it."""
    return _generator(diffusers_pipeline(model), work, batch)


def diffusers_compiled(model: PeerModel, work: Workload, batch: int) -> Generate:
    """The same with the optimisations of diffusers' own guide: channels last, fused projections, `torch.compile`."""
    import torch

    pipeline = diffusers_pipeline(model)
    on_gpu = model.device.type == "cuda"
    mode = "max-autotune" if on_gpu else "default"
    if on_gpu:
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
        pipeline.fuse_qkv_projections()
    pipeline.unet = torch.compile(pipeline.unet, mode=mode, fullgraph=True)
    pipeline.vae.decode = torch.compile(pipeline.vae.decode, mode=mode, fullgraph=True)
    return _generator(pipeline, work, batch)


def optimum(model: PeerModel, work: Workload, batch: int) -> Generate:
    """`ORTStableDiffusionPipeline`, exported by optimum itself: in fp16 on a GPU, else in fp32."""
    from optimum.onnxruntime import ORTStableDiffusionPipeline

    with quiet():
        pipeline = ORTStableDiffusionPipeline.from_pretrained(
            str(model.folder),
            export=True,
            provider=PROVIDERS[model.device.type],
            dtype=precision_of("optimum", model.precision, model.device),
        )
    return _generator(_prepared(pipeline), work, batch)


def precision_of(peer: str, asked: str, device: torch.device) -> str:
    """The precision that a peer runs in, given the one asked for."""
    nearest = "fp16" if asked == "fp8" else asked
    return nearest if peer != "optimum" or (nearest == "fp16" and device.type == "cuda") else "fp32"


def choose(asked: Sequence[str] | None, names: Sequence[str], usual: Sequence[str], on_gpu: bool) -> list[str]:
    """The peers to run: those asked for ("none" for none), or the usual ones that can run here.

    Raises
    ------
    UserError
        There is no such peer, or one asked for cannot run here. Raised before anything is built.
    """
    if asked is None:
        return [name for name in usual if unavailable(name, on_gpu) is None]
    if unknown := [name for name in asked if name not in (*names, "none")]:
        raise UserError(f"unknown peer {unknown[0]!r}; expected {', '.join(names)} or none")
    chosen = [name for name in asked if name != "none"]
    for name in chosen:
        if reason := unavailable(name, on_gpu):
            raise UserError(f"the peer {name} cannot run here: {reason}, or leave it out of the peers")
    return chosen


def unavailable(peer: str, on_gpu: bool) -> str | None:
    """Why a peer cannot run here and what to do about it, or None if it can. The peer itself is not imported."""
    from bench.peers import synderm

    if peer == "synderm":
        return None if find_spec("synderm") else f"it is not installed: {synderm.INSTALL}"
    if peer != "optimum":
        return None
    if find_spec("optimum") is None or find_spec("optimum.onnxruntime") is None:
        return f"it is not installed: {how_to_install('optimum')}"
    import onnxruntime

    if on_gpu and PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        return f"this ONNX Runtime has no CUDA provider: {how_to_install('cuda')}"
    return None


PEERS: dict[str, Callable[[PeerModel, Workload, int], Generate]] = {
    "diffusers": diffusers,
    "diffusers-compile": diffusers_compiled,
    "optimum": optimum,
}


def diffusers_pipeline(model: PeerModel) -> Any:
    """A `StableDiffusionPipeline` on its device, with our solver and without a progress bar."""
    from diffusers import StableDiffusionPipeline

    from engines.compile.precision import DTYPES  # fp8 is half precision there, as peers have no fp8

    with quiet():
        pipeline = StableDiffusionPipeline.from_pretrained(
            model.folder, torch_dtype=DTYPES[model.precision], safety_checker=None, requires_safety_checker=False
        )
    return _prepared(pipeline.to(model.device))


def _prepared(pipeline: Any) -> Any:
    from diffusers import DPMSolverMultistepScheduler

    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _generator(pipeline: Any, work: Workload, batch: int) -> Generate:
    import torch

    n, size = len(work.rows), work.rows[0].size
    dtype = getattr(pipeline, "dtype", torch.float32)

    def generate() -> Images:
        parts = []
        for start in range(0, n, batch):
            stop = min(start + batch, n)
            with torch.inference_mode():
                made = pipeline(
                    work.prompts[start:stop],
                    num_inference_steps=work.steps,
                    guidance_scale=work.guidance,
                    latents=work.latents[start:stop].to(pipeline.device, dtype),
                    height=size,
                    width=size,
                    output_type="np",
                ).images
            parts.append(np.round(made * 255).astype(np.uint8))
        return np.concatenate(parts)

    return generate
