"""`bench shards`: our shards compared with webdataset and tarfile."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options
from bench.commands.show import deliver
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord
from dermforge.common import console
from dermforge.common.errors import CheckFailed


def shards(
    n: Annotated[int, typer.Option(help="Samples.", min=64)] = 1000,
    size: Annotated[int, typer.Option(help="Bytes of an image.", min=100)] = 300_000,
    repeats: Annotated[int, typer.Option(help="Timed runs of each.", min=1)] = 7,
    folder: Annotated[Path | None, typer.Option(help="Disk to write to [default: the temporary folder].")] = None,
    out: options.Out = None,
    check: Annotated[bool, typer.Option("--check", help="Exit status 1 when a bar is missed.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write, read and mix the same files by dermforge, webdataset and raw tarfile, in turns.

    Example: bench shards --n 1000 --size 300000 --out results
    """
    import torch

    from bench.suites import shards as bench_shards

    files = bench_shards.make_files(n, size)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="bench-shards-") as scratch,
        console.progress("shards", 10 * repeats, "runs") as tick,
    ):
        found = bench_shards.measure(files, Path(scratch), repeats, lambda name: tick(1, name))
    found += bench_shards.shares(found)
    record = BenchmarkRecord(
        command="shards",
        settings={"n": n, "size": size, "repeats": repeats},
        facts=describe(torch.device("cpu")),
        measurements=found,
    )
    deliver(record, out, as_json)
    missed = [m.name for m in found if "bar" in m.details and m.median < float(m.details["bar"] or 0)]
    if check and missed:
        raise CheckFailed(f"{len(missed)} bars missed: {', '.join(missed)}")
