"""The peers: the same weights, prompts, noise, solver and steps through other people's pipelines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.peers import synderm
from bench.peers.draw import Draw, Images, Job
from dermforge.common.errors import UserError
from engines.silence import quiet

# Peers have no fp8: beside our fp8 engine they run in half precision.
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "fp8": torch.float16}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def diffusers(model: Path, job: Job, batch: int, *, device: torch.device, precision: str) -> Draw:
    """`StableDiffusionPipeline` as its documentation shows it."""
    return _drawer(_diffusers_pipeline(model, device, precision), job, batch)


def diffusers_compiled(model: Path, job: Job, batch: int, *, device: torch.device, precision: str) -> Draw:
    """The same with the optimisations of diffusers' own guide: channels last, fused projections, `torch.compile`."""
    pipeline = _diffusers_pipeline(model, device, precision)
    on_gpu = device.type == "cuda"
    mode = "max-autotune" if on_gpu else "default"
    if on_gpu:
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
        pipeline.fuse_qkv_projections()
    pipeline.unet = torch.compile(pipeline.unet, mode=mode, fullgraph=True)
    pipeline.vae.decode = torch.compile(pipeline.vae.decode, mode=mode, fullgraph=True)
    return _drawer(pipeline, job, batch)


def optimum(model: Path, job: Job, batch: int, *, device: torch.device, precision: str) -> Draw:
    """`ORTStableDiffusionPipeline`, exported by optimum itself; its exporter knows fp16 on a GPU, else fp32."""
    from optimum.onnxruntime import ORTStableDiffusionPipeline

    with quiet():
        pipeline = ORTStableDiffusionPipeline.from_pretrained(
            str(model), export=True, provider=PROVIDERS[device.type], dtype=precision_of("optimum", precision, device)
        )
    return _drawer(_prepared(pipeline), job, batch)


def precision_of(peer: str, asked: str, device: torch.device) -> str:
    """The precision that a peer really runs in."""
    nearest = "fp16" if asked == "fp8" else asked
    return nearest if peer != "optimum" or (nearest == "fp16" and device.type == "cuda") else "fp32"


def choose(asked: Sequence[str] | None, names: Sequence[str], usual: Sequence[str], on_gpu: bool) -> list[str]:
    """The peers to run: those asked for ("none" for none), or the usual ones that can run here.

    Raises
    ------
    UserError
        There is no such peer, or one asked for cannot run here: said before anything is built.
    """
    if asked is None:
        return [name for name in usual if unavailable(name, on_gpu) is None]
    if unknown := [name for name in asked if name not in (*names, "none")]:
        raise UserError(f"unknown peer {unknown[0]!r}; expected {', '.join(names)} or none")
    chosen = [name for name in asked if name != "none"]
    for name in chosen:
        if reason := unavailable(name, on_gpu):
            raise UserError(f"the peer {name} cannot run here: {reason}, or leave it out of --peer")
    return chosen


def unavailable(peer: str, on_gpu: bool) -> str | None:
    """Why a peer cannot run here, and what to do about it; None where it can. Nothing is imported."""
    if peer == "synderm":
        return None if find_spec("synderm") else f"it is not installed: {synderm.INSTALL}"
    if peer != "optimum":
        return None
    if find_spec("optimum") is None or find_spec("optimum.onnxruntime") is None:
        return "it is not installed: pip install dermforge[optimum]"
    import onnxruntime

    if on_gpu and PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        return "this ONNX Runtime has no CUDA provider: pip install dermforge[cuda]"
    return None


PEERS: dict[str, Callable[..., Draw]] = {
    "diffusers": diffusers,
    "diffusers-compile": diffusers_compiled,
    "optimum": optimum,
}


def _diffusers_pipeline(model: Path, device: torch.device, precision: str) -> Any:
    from diffusers import StableDiffusionPipeline

    with quiet():
        pipeline = StableDiffusionPipeline.from_pretrained(
            model, torch_dtype=DTYPES[precision], safety_checker=None, requires_safety_checker=False
        )
    return _prepared(pipeline.to(device))


def _prepared(pipeline: Any) -> Any:
    """The solver that our engine uses, and no bar: a bar's updates are not what is measured."""
    from diffusers import DPMSolverMultistepScheduler

    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _drawer(pipeline: Any, job: Job, batch: int) -> Draw:
    n, size = len(job.rows), job.rows[0].size
    dtype = getattr(pipeline, "dtype", torch.float32)

    def draw() -> Images:
        parts = []
        for start in range(0, n, batch):
            stop = min(start + batch, n)
            with torch.inference_mode():
                made = pipeline(
                    job.prompts[start:stop],
                    num_inference_steps=job.steps,
                    guidance_scale=job.guidance,
                    latents=job.latents[start:stop].to(pipeline.device, dtype),
                    height=size,
                    width=size,
                    output_type="np",
                ).images
            parts.append(np.round(made * 255).astype(np.uint8))
        return np.concatenate(parts)

    return draw
