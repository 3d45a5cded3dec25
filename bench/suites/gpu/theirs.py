"""Steps: diffusers on the same networks, as it is and compiled, each in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.measure.device import own_peak, wait
from bench.measure.models import SCHEDULER, letters_tokenizer
from bench.measure.record import Detail, lower, per_second
from bench.peers.pipelines import compile_pipeline, generator, prepared_pipeline
from bench.peers.workload import workload
from bench.suites.gpu.effort import GUIDANCE, STEPS, device_of, effort, images_that_fit, timed_runs
from bench.suites.gpu.networks import SHAPES, precision_of, random_networks, spec_of
from bench.suites.gpu.results import Job, Report
from engines.compile.precision import DTYPES


@dataclass(frozen=True)
class Peer:
    """A pipeline that is ready for batches of one size."""

    name: str
    pipeline: Any
    batch: int


def _prepare(name: str, batch: int | None, job: Job, report: Report) -> Peer:
    shapes, device = SHAPES[job.shapes], device_of(job)
    begun = time.perf_counter()
    pipeline = random_pipeline(job)
    size = min(batch or shapes.peer_batch, shapes.rows)
    if batch is not None and not job.rehearsal:
        compile_pipeline(pipeline, device, "reduce-overhead")
    peer = Peer(name, pipeline, size)
    _draw(peer, job, size, 2)()
    wait(device)
    report.measured(lower(f"start/{name}", "s", [time.perf_counter() - begun], {"batch": size}))
    return peer


as_it_is = partial(_prepare, "diffusers", None)
compiled_16 = partial(_prepare, "diffusers compiled, batch 16", 16)
compiled_32 = partial(_prepare, "diffusers compiled, batch 32", 32)


def random_pipeline(job: Job) -> Any:
    """diffusers' own pipeline over the random networks, in the engine's precision throughout."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    networks = random_networks(SHAPES[job.shapes], device_of(job))
    dtype = DTYPES[precision_of(job)]
    made = StableDiffusionPipeline(
        vae=networks.vae.to(dtype),
        text_encoder=networks.text_encoders["text_encoder"].to(dtype),
        tokenizer=letters_tokenizer(),
        unet=networks.denoiser.to(dtype),
        scheduler=DDIMScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    return prepared_pipeline(made)


def images(job: Job, report: Report, peer: Peer) -> None:
    """From prompts to pixels: the prompts, noise, solver, steps and guidance of our engine."""
    how, device = effort(job), device_of(job)
    steps = how.steps(STEPS)
    n = images_that_fit(lambda n: _draw(peer, job, n, steps)(), peer.batch, how, device)
    took = timed_runs(_draw(peer, job, n, steps), how, device)
    details: dict[str, Detail] = {"images": n, "batch": peer.batch, "steps": steps, "memory MB": own_peak(device)}
    report.measured(per_second(f"images/{peer.name}/{steps} steps", took, n, "images/s", **details))


def _draw(peer: Peer, job: Job, n: int, steps: int) -> Callable[[], object]:
    given = workload(spec_of(SHAPES[job.shapes]), n, steps=steps, guidance=GUIDANCE)
    return generator(peer.pipeline, given, peer.batch)
