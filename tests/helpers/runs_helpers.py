"""A small run of the sampler: its plan, its record, its files."""

from __future__ import annotations

from pathlib import Path

from engines import Engine
from gen.plan import cells, grid, plan
from gen.plan.grid import GenerationSettings
from gen.plan.plan import Plan
from gen.sampling import run_record
from shards.storage.bucket import Bucket

TEMPLATE = "An image of {class}, {group} skin"


def rows(per_cell: int = 5, steps: int = 2) -> Plan:
    counts = cells.uniform(("plaque", "ulcer"), ("very_light", "dark"), per_cell)
    return plan.from_rows(grid.rows(GenerationSettings(size=64, steps=steps), TEMPLATE, counts))


def started(folder: Path, engine: Engine, made: Plan, shard_size: int = 4) -> run_record.RunRecord:
    record = run_record.describe(engine, made, "s", shard_size, "png", 95)
    run_record.open_run(folder, record, made)
    return record


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name.startswith("s-")}


def objects(url: str) -> dict[str, bytes]:
    """The shards of a run in a bucket."""
    bucket = Bucket(url)
    return {name: bucket.read(name) for name in sorted(bucket.names()) if name.startswith("s-")}
