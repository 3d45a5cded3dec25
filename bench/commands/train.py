"""`bench train`: images per second of the training loop, of the bare model and of a DataLoader."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from bench.commands import options
from bench.commands.show import deliver
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord, Measurement
from dermforge.common import console

MODELS = ("test_efficientnet", "test_resnet", "test_convnext", "mobilenetv3_small_050", "resnet10t")
CONTESTANTS = 3


def train(
    models: Annotated[list[str] | None, typer.Option("--model", help="timm models; repeatable.")] = None,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 64,
    batch: Annotated[int, typer.Option(help="Images a step.")] = 64,
    steps: Annotated[int, typer.Option(help="Steps of one timed run.")] = 20,
    threads: Annotated[int | None, typer.Option(help="Threads. [default: all cores]", min=1)] = None,
    repeats: options.Repeats = 5,
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Training images per second of `evalsuite train`, of the bare model, and of timm's transforms in a DataLoader.

    Example: bench train --model test_efficientnet --threads 1
    """
    import torch

    from bench.suites import train as measure
    from engines.backends.torch_compiled import torch_device

    torch.set_num_threads(threads or os.cpu_count() or 1)
    device = torch_device(None)
    facts, chosen = describe(device), models or list(MODELS)
    found: list[Measurement] = []
    with console.progress("training", len(chosen) * CONTESTANTS * (1 + repeats), "runs") as bar:
        for name in chosen:
            found += measure.measure(
                name, device, size=size, batch=batch, steps=steps, repeats=repeats, tick=lambda note: bar(1, note)
            )
    record = BenchmarkRecord(
        command="train", facts=facts, measurements=found, settings={"size": size, "batch": batch, "steps": steps}
    )
    deliver(record, out, as_json, f"training, {size} px, batch {batch}, {facts.threads} threads")
