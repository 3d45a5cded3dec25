"""How long the paper's images take here: its preset and the fast one, sampled into shards and extrapolated."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.measure.device import PeakMemory
from bench.measure.record import Measurement, higher, known, lower
from bench.measure.timing import Tick, interval, silent
from bench.peers.anchors import PAPER_IMAGES
from dermforge.common.errors import UserError
from engines.engine import Engine
from gen.phantoms.dataset import PhantomSplit
from gen.plan.grid import PRESETS, of_parents, rows
from gen.plan.parents import Parents
from gen.plan.plan import Plan, from_rows
from gen.plan.prompts import template_for
from gen.sampling.progress import Summary
from gen.sampling.run_record import describe
from gen.sampling.sampler import Sampler
from gen.sampling.warm_up import warm_up
from shards.format.reader import ShardSet

PARENT_SEED = 990
SHARD_SIZE = 1000


class PaperRuns:
    """Timed runs of a preset through the sampler into shards that are deleted.

    Parents are phantoms of the engine's size: their content does not change the time.
    """

    def __init__(self, engine: Engine, work: Path) -> None:
        self.engine, self.work, self.loop = engine, work, warm_up(engine)
        size = engine.spec.size
        folder = work / f"parents-{size}"
        if not (folder / "train" / "_info.json").exists():
            PhantomSplit("train", 1, PARENT_SEED, size).write(folder)
        self.parents = Parents(ShardSet.open(folder / "train"), folder / "train")

    def plan(self, preset: str, images: int) -> Plan:
        """The preset's plan, equally many images of each strategy, cut at `images`.

        Raises
        ------
        UserError
            There is no such preset.
        """
        if preset not in PRESETS:
            raise UserError(f"unknown preset {preset!r}; expected one of {', '.join(PRESETS)}")
        usable = self.parents.usable()
        settings = PRESETS[preset]
        per_parent = max(1, -(-images // (len(settings.strategies) * len(usable))))
        settings = replace(settings, size=self.engine.spec.size, per_parent=max(per_parent, 10))
        used = usable.head(-(-images // (len(settings.strategies) * settings.per_parent)))
        template = self.engine.spec.prompt_template or template_for(used["group"].any())
        every = list(rows(settings, template, of_parents(used, settings.per_parent), used))
        by_strategy = [[row for row in every if row["strategy"] == s] for s in settings.strategies]
        in_turn = [row for trio in zip(*by_strategy, strict=True) for row in trio]
        return from_rows(in_turn[:images])

    def __call__(self, preset: str, images: int) -> Summary:
        """Sample once and delete what was written."""
        plan = self.plan(preset, images)
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            record = describe(self.engine, plan, "bench", SHARD_SIZE)
            return Sampler(self.engine, plan, folder, record, self.parents, self.loop).run(range(record.shards))


def rates(
    run: PaperRuns, presets: Sequence[str], images: int, *, repeats: int, tick: Tick = silent
) -> list[Measurement]:
    """Images per second of each preset, and seconds per image of each stage (stages overlap)."""
    found = []
    for preset in presets:
        run(preset, min(images, run.engine.rows))
        tick(f"{preset}: warm-up")
        with PeakMemory(run.engine.device) as memory:
            done = []
            for _ in range(repeats):
                done.append(run(preset, images))
                tick(preset)
        last = done[-1]
        details = {
            "images": images,
            "denoiser rows/image": last.forwards_per_image,
            "filled": last.filled,
            "waiting": last.waiting,
            "memory MB": known(memory.megabytes),
            "steps": PRESETS[preset].steps,
        }
        found.append(higher(f"paper/{preset}", "images/s", [s.images_per_second for s in done], details))
        for stage in last.busy:
            found.append(lower(f"stage/{preset}/{stage}", "s/image", [s.busy[stage] / s.images for s in done]))
    return found


def growth(run: PaperRuns, preset: str, base: int, *, tick: Tick = silent) -> list[Measurement]:
    """Seconds and memory of 1, 10 and 100 times the work: time should grow in proportion, memory not at all."""
    found = []
    for factor in (1, 10, 100):
        with PeakMemory(run.engine.device) as memory:
            summary = run(preset, factor * base)
        details = {"images": factor * base, "images/s": summary.images_per_second, "memory MB": known(memory.megabytes)}
        found.append(lower(f"growth/{factor:03d}x", "s", [summary.seconds], details))
        tick(f"{factor}x")
    return found


def hours(rate: Measurement, images: int = PAPER_IMAGES) -> Measurement:
    """Hours for this many images at a measured rate; low and high: 95 % interval, given three runs or more."""
    samples = [images / r / 3600 for r in rate.samples]
    low, high = interval(samples)
    details = {"images": images, "low": known(low), "high": known(high)}
    return lower(f"hours/{rate.name.removeprefix('paper/')}", "h", samples, details)
