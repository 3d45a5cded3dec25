"""`gen finetune`: a pipeline and real images in, a tuned pipeline with its lineage out."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.command_line import typed
from dermforge.common.unused_options import used_only
from gen.commands import training
from gen.commands.model_options import Model, PartsFrom, PredictionType, Variant


@used_only("with --method lora", lambda given: given["method"] == "lora", "rank", "keep_adapter")
@used_only("without --steps", lambda given: given["steps"] is None, "epochs")
@used_only("with --prior", lambda given: given["prior"], "prior_prompt", "prior_weight")
def finetune(
    data: Annotated[str, typer.Option(help="Shards, or a folder of images with a CSV or a folder a class")],
    out: Annotated[Path, typer.Option(help="The pipeline folder to write")],
    model: Model = None,
    variant: Variant = None,
    prediction_type: PredictionType = None,
    parts_from: PartsFrom = None,
    method: Annotated[str, typer.Option(help="full (the denoiser), lora, textual-inversion (a word a class)")] = "full",
    per_class: Annotated[bool, typer.Option("--per-class", help="One model for each class, in OUT/CLASS")] = False,
    holdout: training.HeldOut = None,
    template: training.Template = None,
    epochs: Annotated[
        int | None, typer.Option(help="Times that each image is seen [default: full 4, others 20]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, in place of epochs")] = None,
    batch: training.Batch = 4,
    micro_batch: training.MicroBatch = 0,
    learning_rate: Annotated[
        float | None, typer.Option(help="[default: full 5e-6, lora 1e-4, textual-inversion 5e-4]")
    ] = None,
    warmup: training.Warmup = 0,
    schedule: training.Schedule = "constant",
    size: training.Size = None,
    views: training.Views = 8,
    jitter: Annotated[float, typer.Option(help="Random change of colour; the paper's is 0.05")] = 0.0,
    drop_prompt: Annotated[float, typer.Option(help="How often the prompt is left out, 0 to 1")] = 0.0,
    rank: training.Rank = 16,
    keep_adapter: training.KeepAdapter = False,
    prior: Annotated[int, typer.Option(help="Images drawn by the base model, against forgetting")] = 0,
    prior_prompt: Annotated[str, typer.Option(help="What they show")] = "An image of a skin disease",
    prior_weight: Annotated[float, typer.Option(help="Of their loss")] = 1.0,
    min_snr: Annotated[float, typer.Option(help="Cut the loss's weight at this signal-to-noise ratio; 0: no")] = 0.0,
    ema: Annotated[float, typer.Option(help="Decay of averaged weights, such as 0.999; 0 for none")] = 0.0,
    mixed_precision: training.MixedPrecision = "no",
    gradient_checkpointing: training.GradientCheckpointing = False,
    checkpoint_every: training.CheckpointEvery = 500,
    validate_every: Annotated[int, typer.Option(help="Steps between sheets of validation images; 0 for none")] = 0,
    track: training.Track = None,
    seed: training.Seed = 0,
    work: training.Work = None,
    keep_work: training.KeepWork = False,
    fresh: training.Fresh = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout")] = False,
) -> None:
    """Tune a pipeline on real images; run it again to resume. Defaults are those of Sagers et al. 2023.

    Images marked validation or test are left out; images that --holdout names are refused. On several GPUs,
    torchrun --no-python --nproc-per-node 4 gen finetune ... does the same steps as one process.

    Example: gen finetune --model ./sd21-base --data ./photos --method lora --holdout test.csv --out ./tuned
    """
    from engines.source import Source, open_model
    from gen import builtin
    from gen.finetune.data.holdout import Holdout, read_holdout
    from gen.finetune.settings import Execution, Hyperparameters
    from gen.finetune.task import Task
    from gen.finetune.tune import tune
    from shards.ingest.folder import open_data

    settings = Hyperparameters.check(
        method=method,
        learning_rate=learning_rate,
        epochs=epochs,
        steps=steps,
        batch=batch,
        size=size,
        template=template,
        warmup=warmup,
        schedule=schedule,
        views=views,
        jitter=jitter,
        drop_prompt=drop_prompt,
        rank=rank,
        prior=prior,
        prior_weight=prior_weight,
        prior_prompt=prior_prompt,
        min_snr=min_snr,
        ema=ema,
        mixed_precision=mixed_precision,
        seed=seed,
    )
    execution = Execution(
        micro_batch=micro_batch,
        checkpoint_every=checkpoint_every,
        validate_every=validate_every,
        gradient_checkpointing=gradient_checkpointing,
        keep_adapter=keep_adapter,
        keep_work=keep_work,
        fresh=fresh,
        track=tuple(track or ()),
    )
    images, held_out = open_data(data), read_holdout(holdout) if holdout else Holdout()
    accelerator = training.begin(settings, execution)
    with open_model(Source(model or builtin.pipeline_folder(), variant, prediction_type, parts_from)) as base:
        whole = Task(base, images, out, held_out, work)
        tasks = [whole]
        if per_class:
            names = {c: re.sub(r"[^A-Za-z0-9_]+", "-", c) for c in images.classes}
            tasks = [
                replace(whole, data=images.where(cls=c), out=out / name, work=whole.folder / name)
                for c, name in names.items()
            ]
        results = [tune(task, settings, execution, accelerator, console.progress, training.note) for task in tasks]
    if not training.end(accelerator):
        return
    if json:
        console.print_json([asdict(r) for r in results] if per_class else asdict(results[0]))
        return
    for result in results:
        prompts = f"{result.prompts} prompt{'s' * (result.prompts != 1)}"
        training.tell(result, typed("gen", "build-engine", "--model", result.out), prompts)
