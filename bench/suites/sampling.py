"""Plans to files: the sampler with its shards, and other people's loops with their PNG files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from bench.peers import pipelines, synderm
from bench.peers.draw import Images, Job
from engines.engine import Engine
from gen.plan.plan import from_rows
from gen.sampling.progress import Summary
from gen.sampling.run_record import describe
from gen.sampling.sampler import Sampler

Run = Callable[[], object]


@dataclass
class Ours:
    """`gen sample`'s own work after loading: plan, denoise, decode, encode, write and fsync verified shards."""

    engine: Engine
    job: Job
    folder: Path
    image_format: str = "png"
    interval: tuple[float, float] | None = None
    summaries: list[Summary] = field(default_factory=list)

    def __call__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        rows = [row.model_copy(update={"guidance_interval": self.interval}) for row in self.job.rows]
        plan = from_rows({k: v for k, v in row.model_dump(by_alias=True).items() if v is not None} for row in rows)
        record = describe(self.engine, plan, "bench", image_format=self.image_format)
        self.summaries.append(Sampler(self.engine, plan, self.folder, record).run(range(record.shards)))


def files(draw: Callable[[], Images], folder: Path) -> Run:
    """A peer's images, each saved as its documentation shows: `image.save(name.png)`."""

    def run() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for number, pixels in enumerate(draw()):
            Image.fromarray(pixels).save(folder / f"{number:06d}.png")

    return run


def peer(name: str, model: Path, job: Job, batch: int, device: torch.device, precision: str, folder: Path) -> Run:
    """A peer by name, from prompts to PNG files."""
    if name != "synderm":
        return files(pipelines.PEERS[name](model, job, batch, device=device, precision=precision), folder)
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, requires_safety_checker=False)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.to(device, pipelines.DTYPES[precision])
    # It draws class by class, and every class alike: as many classes as give the same number of images.
    classes = [f"class{i}" for i in range(max(k for k in range(1, 7) if len(job.rows) % k == 0))]
    loop = synderm.loop(
        pipeline,
        classes,
        "An image of {}, a skin disease",
        job.steps,
        job.guidance,
        batch,
        len(job.rows) // len(classes),
    )

    def run() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        loop(folder)

    return run
