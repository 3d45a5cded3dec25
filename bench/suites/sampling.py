"""From plan rows to files: the sampler with its shards, and other people's loops with their PNG files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from bench.peers import synderm
from bench.peers.pipelines import PEERS, PeerModel, diffusers_pipeline
from bench.peers.workload import Generate, Workload
from engines.engine import Engine
from gen.plan.plan import from_rows
from gen.sampling.progress import Summary
from gen.sampling.run_record import describe
from gen.sampling.sampler import Sampler
from gen.sampling.warm_up import warm_up

Run = Callable[[], object]


@dataclass
class Ours:
    """What `gen sample` does after loading: plan, denoise, decode, encode, write and fsync verified shards."""

    engine: Engine
    work: Workload
    folder: Path
    interval: tuple[float, float] | None = None
    summaries: list[Summary] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = warm_up(self.engine)

    def __call__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        rows = [row.model_copy(update={"guidance_interval": self.interval}) for row in self.work.rows]
        plan = from_rows({k: v for k, v in row.model_dump(by_alias=True).items() if v is not None} for row in rows)
        record = describe(self.engine, plan, "bench")
        sampler = Sampler(self.engine, plan, self.folder, record, loop=self.loop)
        self.summaries.append(sampler.run(range(record.shards)))


def peer(name: str, model: PeerModel, work: Workload, batch: int, folder: Path) -> Run:
    """A peer by name, from prompts to PNG files."""
    if name != "synderm":
        return _files(PEERS[name](model, work, batch), folder)
    loop = synderm.loop(diffusers_pipeline(model), work, batch)

    def run() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        loop(folder)

    return run


def _files(generate: Generate, folder: Path) -> Run:
    """A peer's images, each saved as its documentation shows: `image.save(name.png)`."""

    def run() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for number, pixels in enumerate(generate()):
            Image.fromarray(pixels).save(folder / f"{number:06d}.png")

    return run
