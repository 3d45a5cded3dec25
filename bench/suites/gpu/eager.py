"""Steps: the networks operation by operation: what the compiler gains, and what TF32 costs in accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bench.measure.record import lower
from bench.measure.timing import seconds
from bench.suites.gpu.effort import device_of
from bench.suites.gpu.networks import SHAPES, lowered, precision_of, random_networks, spec_of
from bench.suites.gpu.results import Job, Report
from engines.backends.torch_eager import eager
from engines.calls import Calls
from engines.conditioning import gauss

ERROR_ROWS = 2


@dataclass(frozen=True)
class Eager:
    """The calls, and a full batch for the denoiser: latents, timesteps, conditioning."""

    calls: Calls
    batch: tuple[torch.Tensor, ...]


def prepare(job: Job, report: Report) -> Eager:
    """The networks in the engine's precision, as PyTorch lays them out."""
    shapes, device = SHAPES[job.shapes], device_of(job)
    spec = spec_of(shapes)
    side, rows = spec.latent_size, shapes.rows
    batch = (
        torch.randn(rows, spec.unet_in_channels, side, side, device=device),
        torch.full((rows,), spec.num_train_timesteps / 2, device=device),
        *gauss(spec.conditioning, rows, device).values(),
    )
    return Eager(eager(lowered(random_networks(shapes, device), precision_of(job)), spec, device), batch)


def unet_calls(job: Job, report: Report, ours: Eager) -> None:
    """One UNet call as it is, and with convolutions that cudnn chose by timing them."""
    before = torch.backends.cudnn.benchmark
    for timed in (False, True):
        torch.backends.cudnn.benchmark = timed
        took = seconds(lambda: ours.calls.denoise(*ours.batch), device_of(job), repeats=3, warmup=2)
        details = {"rows": len(ours.batch[0]), "cudnn.benchmark": timed}
        name = "eager/UNet, convolutions timed" if timed else "eager/UNet"
        report.measured(lower(name, "ms", [1000 * s for s in took], details))
    torch.backends.cudnn.benchmark = before


def errors(job: Job, report: Report, ours: Eager) -> None:
    """The UNet's relative error with TF32 convolutions, and in the engine's precision, from float32 without TF32."""
    device = device_of(job)
    args = [tensor[:ERROR_ROWS] for tensor in ours.batch]
    unet = random_networks(SHAPES[job.shapes], device).denoiser
    found = {}
    before = torch.backends.cudnn.allow_tf32
    for tf32 in (False, True):
        torch.backends.cudnn.allow_tf32 = tf32
        with torch.inference_mode():
            found[tf32] = unet(*args, return_dict=False)[0].double()
    torch.backends.cudnn.allow_tf32 = before
    exact, mine = found[False], ours.calls.denoise(*args).double()
    norm = exact.norm()
    for name, other in (("TF32 convolutions", found[True]), (precision_of(job), mine)):
        report.measured(lower(f"error/{name}", "of the norm", [float((other - exact).norm() / norm)]))
