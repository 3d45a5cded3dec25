"""`gen distill-decoder`: a pipeline and real images in, a small decoder of its latents out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.command_line import typed
from gen.commands import training
from gen.commands.model_options import Model, PartsFrom, PredictionType, Variant


def distill_decoder(
    data: Annotated[str, typer.Option(help="Shards, or a folder of images")],
    out: Annotated[Path, typer.Option(help="The decoder's folder to write")],
    model: Model = None,
    variant: Variant = None,
    prediction_type: PredictionType = None,
    parts_from: PartsFrom = None,
    holdout: training.HeldOut = None,
    width: Annotated[
        int | None, typer.Option(help="Channels [default: half of those of the VAE's largest maps, as TAESD]")
    ] = None,
    blocks: Annotated[int, typer.Option(help="Residual blocks before each enlargement")] = 3,
    steps: Annotated[int, typer.Option(help="Optimiser steps")] = 4000,
    batch: training.Batch = 8,
    micro_batch: training.MicroBatch = 0,
    learning_rate: Annotated[float, typer.Option(help="Its largest value")] = 1e-3,
    warmup: training.Warmup = 100,
    schedule: training.Schedule = "cosine",
    size: training.Size = None,
    views: training.Views = 8,
    ema: Annotated[float, typer.Option(help="Decay of averaged weights; 0 for none")] = 0.995,
    mixed_precision: training.MixedPrecision = "no",
    checkpoint_every: training.CheckpointEvery = 500,
    track: training.Track = None,
    seed: training.Seed = 0,
    work: training.Work = None,
    keep_work: training.KeepWork = False,
    fresh: training.Fresh = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout")] = False,
) -> None:
    """Train a small decoder to give what a pipeline's VAE gives; run it again to resume.

    Images marked validation or test are left out; images that --holdout names are refused.

    Example: gen distill-decoder --model ./tuned --data ./photos --out ./decoder
    """
    from engines.source import Source, open_model
    from gen import builtin
    from gen.decoder.distill import distill_decoder as run
    from gen.decoder.settings import DecoderSettings
    from gen.finetune.data.holdout import Holdout, read_holdout
    from gen.finetune.settings import Execution
    from gen.finetune.task import Task
    from shards.ingest.folder import open_data

    settings = DecoderSettings.check(
        width=width,
        blocks=blocks,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        warmup=warmup,
        schedule=schedule,
        size=size,
        views=views,
        ema=ema,
        mixed_precision=mixed_precision,
        seed=seed,
    )
    execution = Execution(
        micro_batch=micro_batch,
        checkpoint_every=checkpoint_every,
        keep_work=keep_work,
        fresh=fresh,
        track=tuple(track or ()),
    )
    images, held_out = open_data(data), read_holdout(holdout) if holdout else Holdout()
    accelerator = training.begin(settings, execution)
    with open_model(Source(model or builtin.pipeline_folder(), variant, prediction_type, parts_from)) as base:
        task = Task(base, images, out, held_out, work)
        result = run(task, settings, execution, accelerator, console.progress, training.note)
    if not training.end(accelerator):
        return
    if json:
        console.print_json(asdict(result))
        return
    training.tell(result, typed("gen", "build-engine", "--decoder", out), f"{result.width} channels")
