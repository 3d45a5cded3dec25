"""`bench study`: arms per minute on cached features."""

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


def study(
    arms: Annotated[int, typer.Option(help="About how many arms to train in one timed run.", min=1)] = 60,
    width: Annotated[int, typer.Option(help="Features per image.", min=1)] = 512,
    workers: Annotated[int | None, typer.Option(help="Processes. [default: one a core]", min=1)] = None,
    repeats: Annotated[int, typer.Option(help="Timed runs.", min=1)] = 5,
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Arms per minute of `evalsuite study`: arms of 1,000 images on cached features, start of processes included.

    Example: bench study --arms 60
    """
    import torch

    from bench.suites import study as measure

    facts = describe(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder, console.progress("studies", 2 * repeats, "runs") as bar:
        found = measure.measure(Path(folder), arms, width, workers, repeats, lambda note: bar(1, note))
    record = BenchmarkRecord(
        command="study",
        facts=facts,
        measurements=found,
        settings={"width": width, "images per arm": measure.ARM_IMAGES, "workers": workers},
    )
    deliver(record, out, as_json, f"arms of {measure.ARM_IMAGES:,} images, {width} features")
