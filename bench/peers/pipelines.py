"""The peers: other people's pipelines on the same weights, prompts, noise, solver and steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dermforge.common import one_onnxruntime
from dermforge.common.errors import UserError
from dermforge.common.extras import how_to_install
from dermforge.common.loading_bars import without_bars
from engines.manifest import USUAL_MODE, CompileMode
from engines.silence import quiet

if TYPE_CHECKING:
    import torch

    from bench.peers.workload import Generate, Images, Workload
    from engines.pipeline_spec import PipelineSpec

#: What each mode of ours is called by `torch.compile`, whose CUDA graphs a pipeline of diffusers needs.
PEER_MODES: dict[CompileMode, str] = {"default": "reduce-overhead", "autotune": "max-autotune"}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class PeerModel:
    """The pipeline folder that peers load, and the device, precision and mode of compiling they run it in."""

    folder: Path
    device: torch.device
    precision: str
    compile_mode: CompileMode = USUAL_MODE


def diffusers(model: PeerModel, work: Workload, batch: int) -> Generate:
    """`StableDiffusionPipeline` as its documentation shows it."""
    return generator(diffusers_pipeline(model), work, batch)


def diffusers_compiled(model: PeerModel, work: Workload, batch: int) -> Generate:
    """The same with the optimisations of diffusers' own guide: channels last, fused projections, `torch.compile`."""
    pipeline = diffusers_pipeline(model)
    compile_pipeline(pipeline, model.device, PEER_MODES[model.compile_mode])
    return generator(pipeline, work, batch)


def compile_pipeline(pipeline: Any, device: torch.device, mode: str) -> None:
    """Prepare a pipeline of diffusers for speed, for batches of one size; elsewhere than on CUDA without a mode.

    Without `dynamic=False` torch compiles the second size of batch for any size, which is slower. Dynamo is not reset
    between sizes: that would also drop what our engines in the same process have compiled.
    """
    import torch

    on_gpu = device.type == "cuda"
    if on_gpu:
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
        pipeline.fuse_qkv_projections()
    chosen = mode if on_gpu else "default"
    pipeline.unet = torch.compile(pipeline.unet, mode=chosen, fullgraph=True, dynamic=False)
    pipeline.vae.decode = torch.compile(pipeline.vae.decode, mode=chosen, fullgraph=True, dynamic=False)


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
    return generator(prepared_pipeline(pipeline), work, batch)


def precision_of(peer: str, asked: str, device: torch.device) -> str:
    """The precision that a peer runs in, given the one asked for."""
    nearest = "fp16" if asked == "fp8" else asked
    return nearest if peer != "optimum" or (nearest == "fp16" and device.type == "cuda") else "fp32"


def choose(
    asked: Sequence[str] | None, names: Sequence[str], usual: Sequence[str], on_gpu: bool, spec: PipelineSpec
) -> list[str]:
    """The peers to run: those asked for ("none" for none), or the usual ones that can run this pipeline here.

    Raises
    ------
    UserError
        There is no such peer, or one asked for cannot run here. Raised before anything is built.
    """
    if asked is None:
        return [name for name in usual if unavailable(name, on_gpu, spec) is None]
    if unknown := [name for name in asked if name not in (*names, "none")]:
        raise UserError(f"unknown peer {unknown[0]!r}; expected {', '.join(names)} or none")
    chosen = [name for name in asked if name != "none"]
    for name in chosen:
        if reason := unavailable(name, on_gpu, spec):
            raise UserError(f"the peer {name} cannot run here: {reason}, or leave it out of the peers")
    return chosen


def unavailable(peer: str, on_gpu: bool, spec: PipelineSpec) -> str | None:
    """Why a peer cannot run here and what to do about it, or None if it can. The peer itself is not imported."""
    from bench.peers import synderm

    if spec.family != "sd" or spec.unet_in_channels != spec.latent_channels:
        return "it draws from text by Stable Diffusion 1.x and 2.x only: take such a pipeline"
    if peer == "synderm":
        return None if find_spec("synderm") else f"it is not installed: {synderm.INSTALL}"
    if peer != "optimum":
        return None
    if find_spec("optimum") is None or find_spec("optimum.onnxruntime") is None:
        return f"it is not installed: {how_to_install('optimum')}"
    import onnxruntime

    if on_gpu and PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        return f"this ONNX Runtime has no CUDA provider: {one_onnxruntime.FOR_CUDA}"
    return None


PEERS: dict[str, Callable[[PeerModel, Workload, int], Generate]] = {
    "diffusers": diffusers,
    "diffusers-compile": diffusers_compiled,
    "optimum": optimum,
}


def diffusers_pipeline(model: PeerModel) -> Any:
    """A `StableDiffusionPipeline` on its device, with our solver and without a progress bar."""
    from diffusers import StableDiffusionPipeline

    from engines.checkpoint.folder import known_files
    from engines.compile.precision import DTYPES  # fp8 is half precision there, as peers have no fp8

    files = known_files(model.folder, ("text_encoder", "unet", "vae"), ("tokenizer", "scheduler"))
    with files as known, quiet(), without_bars("diffusers", "transformers"):  # code in the folder is not run
        pipeline = StableDiffusionPipeline.from_pretrained(
            known, torch_dtype=DTYPES[model.precision], safety_checker=None, requires_safety_checker=False
        )
    return prepared_pipeline(pipeline.to(model.device))


def prepared_pipeline(pipeline: Any) -> Any:
    """A pipeline with our solver and without a progress bar."""
    from diffusers import DPMSolverMultistepScheduler

    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generator(pipeline: Any, work: Workload, batch: int) -> Generate:
    """A pipeline's images of a workload, in batches of one size."""
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
