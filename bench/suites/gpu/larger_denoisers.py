"""Steps: the denoisers of the larger families, with random weights of public shapes that are made where they run.

The denoiser alone, compiled as it is: no prompt is read and no image decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.measure.device import own_peak
from bench.measure.large_models import SD35_MEDIUM_TRANSFORMER, SDXL_UNET
from bench.measure.record import Detail, lower, per_second
from bench.measure.timing import seconds
from bench.suites.gpu.effort import device_of
from bench.suites.gpu.networks import precision_of
from bench.suites.gpu.results import Job, Report
from engines.compile.precision import DTYPES

REPEATS = 5
ROWS = 8  # four images of 1024 px with guidance
#: Tokens of both CLIPs, and of T5, which SD 3.5 fills with zeros where it is left out.
CLIP_TOKENS, T5_TOKENS = 77, 256


@dataclass(frozen=True)
class Shape:
    """A denoiser without weights, and its inputs for so many rows, by the names of its arguments."""

    network: Callable[[], Any]
    inputs: Callable[[int], Mapping[str, Any]]


@dataclass(frozen=True)
class Denoiser:
    """A denoiser that is ready to run: its call for a full batch, and the FLOPs of a row."""

    name: str
    call: Callable[[], Any]
    rows: int
    flops: float


def _sdxl(tiny: bool) -> Shape:
    import diffusers

    small = {"block_out_channels": (32, 64, 64), "transformer_layers_per_block": 1, "sample_size": 8}
    config = {**SDXL_UNET, **({**small, "attention_head_dim": (1, 2, 2)} if tiny else {})}
    side = config["sample_size"]
    return Shape(
        lambda: diffusers.UNet2DConditionModel(**config),
        lambda rows: {
            "sample": torch.randn(rows, 4, side, side),
            "timestep": torch.full((rows,), 500.0),
            "encoder_hidden_states": torch.randn(rows, CLIP_TOKENS, config["cross_attention_dim"]),
            "added_cond_kwargs": {"text_embeds": torch.randn(rows, 1280), "time_ids": torch.full((rows, 6), 1024.0)},
        },
    )


def _sd35_medium(tiny: bool) -> Shape:
    import diffusers

    small = {"num_layers": 2, "num_attention_heads": 2, "caption_projection_dim": 128, "sample_size": 8}
    config = {**SD35_MEDIUM_TRANSFORMER, **({**small, "dual_attention_layers": (0,)} if tiny else {})}
    side = config["sample_size"]
    return Shape(
        lambda: diffusers.SD3Transformer2DModel(**config),
        lambda rows: {
            "hidden_states": torch.randn(rows, 16, side, side),
            "timestep": torch.full((rows,), 500.0),
            "encoder_hidden_states": torch.randn(rows, CLIP_TOKENS + T5_TOKENS, 4096),
            "pooled_projections": torch.randn(rows, 2048),
        },
    )


SHAPES: dict[str, Callable[[bool], Shape]] = {"sdxl": _sdxl, "sd35-medium": _sd35_medium}


def _compiled(name: str, job: Job, report: Report) -> Denoiser:
    """The denoiser on the device in half precision; in a rehearsal a tiny one on the CPU that is not compiled."""
    device, dtype = device_of(job), DTYPES[precision_of(job)]
    shape, rows = SHAPES[name](job.rehearsal), 2 if job.rehearsal else ROWS
    flops = _flops(shape)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            network = shape.network().eval().requires_grad_(False)
            inputs = dict(shape.inputs(rows))
    finally:
        torch.set_default_dtype(before)
    run = network if job.rehearsal else torch.compile(network, fullgraph=True, dynamic=False)

    def call() -> Any:
        with torch.inference_mode():
            return run(**inputs, return_dict=False)

    took = seconds(call, device, repeats=1, warmup=0)
    details: dict[str, Detail] = {"rows": rows, "memory MB": own_peak(device)}
    report.measured(lower(f"start/{name}", "s", took, details))
    return Denoiser(name, call, rows, flops)


def _flops(shape: Shape) -> float:
    """Of one row, counted without data; attention counts as its two matrix products."""
    with torch.device("meta"):
        network, inputs = shape.network(), dict(shape.inputs(1))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(**inputs)
    return float(counter.get_total_flops())


sdxl = partial(_compiled, "sdxl")
sd35_medium = partial(_compiled, "sd35-medium")


def rows_a_second(job: Job, report: Report, denoiser: Denoiser) -> None:
    """A full batch through the denoiser."""
    took = seconds(denoiser.call, device_of(job), repeats=REPEATS, warmup=2)
    details: dict[str, Detail] = {"rows": denoiser.rows, "precision": precision_of(job)}
    report.measured(lower(f"step/{denoiser.name}", "ms", [1000 * s for s in took], details))
    report.measured(per_second(f"rows/{denoiser.name}", took, denoiser.rows, "denoiser rows/s", **details))
    work = denoiser.rows * denoiser.flops / 1e12
    report.measured(per_second(f"arithmetic/{denoiser.name}", took, work, "TFLOP/s", **details))
