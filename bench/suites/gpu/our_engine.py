"""Steps: this project's engine, compiled once, then measured with the GPU to itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench.measure.device import own_peak, wait
from bench.measure.record import Detail, Measurement, higher, lower, per_second
from bench.measure.timing import seconds
from bench.peers.workload import Images, workload
from bench.suites.gpu.effort import FEWER_STEPS, GUIDANCE, STEPS, device_of, effort, images_that_fit, timed_runs
from bench.suites.gpu.networks import SHAPES, flops_of, make_engine
from bench.suites.gpu.results import Job, Report, Skipped
from bench.suites.sampling import Ours as SamplerRun
from engines.backends.compiled_call import MODES
from engines.engine import Engine
from engines.manifest import CompileMode
from engines.psnr import psnr
from gen.diffusion.denoising_loop import DenoisingLoop
from gen.sampling.in_memory import sample_images

REPEATS = 7
#: Images that two processes draw, to be compared byte by byte.
SAME = "same-images.npy"
SAMPLER_STEPS = 10


@dataclass(frozen=True)
class Prepared:
    """The engine, and a loop with its denoising step, recorded once. name: what its measurements are called."""

    name: str
    engine: Engine
    loop: DenoisingLoop

    def step(self) -> Callable[[], object]:
        """One step of a full batch, conditional and unconditional rows in turn, whose inputs are on the device.

        They are noise, since a GPU draws less power on zeros and runs faster. No image changes, so it can be repeated.
        """
        slots, n, spec = self.loop.slots, self.engine.rows, self.engine.spec
        noise = torch.Generator(self.engine.device).manual_seed(0)
        for values in (slots.state.x, slots.extra, *slots.texts.values()):
            values.normal_(generator=noise)
        rows, places, timesteps, settings = slots.idle()
        places[:] = np.arange(n)
        rows[:], timesteps[:] = places // 2, spec.num_train_timesteps // 2
        return partial(slots.run, *map(slots.upload, (rows, places, timesteps, settings)))


def _compiled(name: str, mode: CompileMode, job: Job, report: Report) -> Prepared:
    device, folder = device_of(job), job.scratch / f"engine-{name}"
    folder.mkdir(exist_ok=True)
    begun = last = time.perf_counter()
    parts: dict[str, Detail] = {}

    def done(part: str) -> None:
        nonlocal last
        wait(device)
        now = time.perf_counter()
        parts[part], last = round(now - last, 2), now

    engine = make_engine(job, mode, folder)
    done("networks")
    side = engine.spec.latent_size
    engine.decode(torch.zeros(engine.vae_batch, engine.spec.latent_channels, side, side, device=device))
    done("decoder")
    loop = DenoisingLoop(engine)
    loop.slots.run(*map(loop.slots.upload, loop.slots.idle()))
    done("UNet and step")
    details: dict[str, Detail] = {**parts, "mode": mode, "memory MB": own_peak(device)}
    report.measured(lower(f"start/{name}", "s", [last - begun], details))
    return Prepared(name, engine, loop)


compiled = partial(_compiled, "ours", "default")
#: In a new process, from the engine files that the first one left in Inductor's cache.
from_cache = partial(_compiled, "ours from the cache", "default")
autotuned = partial(_compiled, "ours autotuned", "autotune")


def autotuned_in_part(job: Job, report: Report) -> Prepared:
    """Autotuned without coordinate descent, which takes most of the time."""
    usual = MODES["autotune"]
    MODES["autotune"] = {**usual, "coordinate_descent_tuning": False}
    try:
        return _compiled("ours autotuned in part", "autotune", job, report)
    finally:
        MODES["autotune"] = usual


def one_step(job: Job, report: Report, ours: Prepared) -> None:
    """A full batch through the UNet, guidance and the solver's update."""
    rows, device = ours.engine.rows, ours.engine.device
    took = seconds(ours.step(), device, repeats=REPEATS, warmup=3)
    details: dict[str, Detail] = {"rows": rows, "precision": ours.engine.precision}
    report.measured(lower(f"step/{ours.name}", "ms", [1000 * s for s in took], details))
    report.measured(per_second(f"rows/{ours.name}", took, rows, "UNet rows/s", **details))
    flops = flops_of(SHAPES[job.shapes]).unet
    report.measured(per_second(f"arithmetic/{ours.name}", took, rows * flops / 1e12, "TFLOP/s", **details))


def _images(steps: int, job: Job, report: Report, ours: Prepared) -> None:
    """From prompts to pixels, with guidance."""
    how, engine = effort(job), ours.engine
    steps = how.steps(steps)

    def draw(n: int, steps: int = steps) -> Images:
        return sample_images(engine, workload(engine.spec, n, steps=steps, guidance=GUIDANCE).rows, loop=ours.loop)

    n = images_that_fit(draw, engine.rows // 2, how, engine.device)
    took = timed_runs(partial(draw, n), how, engine.device)
    details: dict[str, Detail] = {"images": n, "steps": steps, "memory MB": own_peak(engine.device)}
    report.measured(per_second(f"images/{ours.name}/{steps} steps", took, n, "images/s", **details))


images = partial(_images, STEPS)
images_in_fewer_steps = partial(_images, FEWER_STEPS)


def same_twice(job: Job, report: Report, ours: Prepared) -> None:
    """The same images twice in one process: are they the same bytes?"""
    first, second = _some(job, ours), _some(job, ours)
    np.save(job.scratch / SAME, first)
    report.measured(*_agreement(f"same images twice/{ours.name}", first, second))
    report.note(spread=float(first.std()))  # flat images would agree whatever runs


def same_as_before(job: Job, report: Report, ours: Prepared) -> None:
    """The same images as those of the first process, which compiled for itself."""
    before = job.scratch / SAME
    if not before.exists():
        raise Skipped("the first process left no images")
    report.measured(*_agreement(f"same images in another process/{ours.name}", _load(before), _some(job, ours)))


def _some(job: Job, ours: Prepared) -> Images:
    spec, steps = ours.engine.spec, max(2, effort(job).steps(FEWER_STEPS))
    rows = workload(spec, ours.engine.rows // 2, steps=steps, guidance=GUIDANCE).rows
    return sample_images(ours.engine, rows, loop=ours.loop)


def _load(path: Path) -> Images:
    images: Images = np.load(path, allow_pickle=False)
    return images


def _agreement(name: str, one: Images, other: Images) -> list[Measurement]:
    apart = np.abs(one.astype(np.int16) - other.astype(np.int16))
    equal = float((apart == 0).mean())
    noise = psnr(one, other) if equal < 1 else math.inf
    details: dict[str, Detail] = {"largest difference": int(apart.max()), "dB": noise if math.isfinite(noise) else None}
    return [higher(name, "of the bytes", [equal], details)]


def sampler(job: Job, report: Report, ours: Prepared) -> None:
    """`gen sample` after loading, plan to shards on the disk: how full its calls are and what it waits for."""
    how, engine = effort(job), ours.engine
    steps, folder = how.steps(SAMPLER_STEPS), job.scratch / "shards"

    def run(n: int) -> SamplerRun:
        one = SamplerRun(engine, workload(engine.spec, n, steps=steps, guidance=GUIDANCE), folder)  # records its step
        one()
        return one

    each = run(engine.rows).summaries[-1].seconds / engine.rows
    n = max(engine.rows, min(how.sampled, int(how.room / 2 / each)))
    found = run(n).summaries[-1]
    details: dict[str, Detail] = {"images": n, "steps": steps}
    report.measured(
        higher(f"sampler/{ours.name}", "images/s", [found.images_per_second], details),
        higher(f"sampler/{ours.name}/filled", "of all rows", [found.filled], {"calls": found.calls}),
        lower(f"sampler/{ours.name}/waiting", "of the time", [found.waiting], _rounded(found.waited)),
        higher(f"sampler/{ours.name}/rows", "UNet rows/s", [found.images * found.forwards_per_image / found.seconds]),
        lower(f"sampler/{ours.name}/host memory", "MB", [found.peak_memory_mb]),
    )
    report.note(busy_seconds=_rounded(found.busy))


def _rounded(seconds: dict[str, float]) -> dict[str, Detail]:
    return {name: round(value, 2) for name, value in seconds.items()}


def memory(job: Job, report: Report, ours: Prepared) -> None:
    """What the engine holds when it is idle, and its peak so far."""
    device = ours.engine.device
    if device.type != "cuda":
        raise Skipped("a CPU has no memory of its own")
    held = {
        "allocated": torch.cuda.memory_allocated(device),
        "peak": torch.cuda.max_memory_allocated(device),
        "reserved": torch.cuda.memory_reserved(device),
    }
    report.measured(*(lower(f"memory/{ours.name}/{name}", "GB", [n / 1e9]) for name, n in held.items()))
