"""`gen distill`: a pipeline and its training images in, a student that draws in few steps out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.command_line import typed
from dermforge.common.unused_options import used_only
from gen.commands import training
from gen.commands.model_options import Model, PartsFrom, PredictionType, Variant


@used_only("with --method lora", lambda given: given["method"] == "lora", "rank", "keep_adapter")
def distill(
    data: Annotated[str, typer.Option(help="The images the model was tuned on: shards or a folder")],
    out: Annotated[Path, typer.Option(help="The student's pipeline folder to write")],
    model: Model = None,
    variant: Variant = None,
    prediction_type: PredictionType = None,
    parts_from: PartsFrom = None,
    method: Annotated[str, typer.Option(help="full (the UNet) or lora")] = "full",
    guidance: Annotated[
        str, typer.Option(help="Teacher's scale, learnt for good; LOW:HIGH makes it an input (full only)")
    ] = "3",
    holdout: training.HeldOut = None,
    template: training.Template = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps")] = 1000,
    batch: training.Batch = 16,
    micro_batch: training.MicroBatch = 0,
    learning_rate: Annotated[float | None, typer.Option(help="[default: full 8e-6, lora 1e-4]")] = None,
    warmup: training.Warmup = 0,
    schedule: training.Schedule = "constant",
    teacher_steps: Annotated[int, typer.Option(help="Steps of the teacher's solver (DDIM)")] = 50,
    few_steps: Annotated[int, typer.Option(help="Steps that the student's images take by default")] = 4,
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights, which are target and result")] = 0.95,
    huber: Annotated[float, typer.Option(help="c of the pseudo-Huber loss")] = 1e-3,
    weighting: Annotated[
        str, typer.Option(help="Of the loss over timesteps: uniform (the paper's), or noise: more where it is little")
    ] = "uniform",
    rank: training.Rank = 64,
    keep_adapter: training.KeepAdapter = False,
    size: training.Size = None,
    views: training.Views = 8,
    mixed_precision: training.MixedPrecision = "no",
    gradient_checkpointing: training.GradientCheckpointing = False,
    checkpoint_every: training.CheckpointEvery = 100,
    validate_every: Annotated[int, typer.Option(help="Steps between sheets of the student's images; 0 for none")] = 0,
    track: training.Track = None,
    seed: training.Seed = 0,
    work: training.Work = None,
    keep_work: training.KeepWork = False,
    fresh: training.Fresh = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout")] = False,
) -> None:
    """Teach a student to draw in few steps what --model, its teacher, draws in many; run it again to resume.

    Latent consistency distillation (arXiv 2310.04378) with the teacher's guidance, on the teacher's own latents of real
    images. Images marked validation or test are left out. Draw with it by `gen build-engine --model OUT`.

    Example: gen distill --model ./tuned --data ./photos --guidance 3 --holdout test.csv --out ./student
    """
    from engines.source import Source, open_model
    from gen import builtin
    from gen.distill.lesson import DISTILLATION
    from gen.distill.settings import Distillation, parse_guidance
    from gen.finetune.data.holdout import Holdout, read_holdout
    from gen.finetune.settings import Execution
    from gen.finetune.task import Task
    from gen.finetune.tune import tune
    from shards.ingest.folder import open_data

    settings = Distillation.check(
        method=method,
        guidance=parse_guidance(guidance),
        learning_rate=learning_rate,
        steps=steps,
        batch=batch,
        size=size,
        template=template,
        warmup=warmup,
        schedule=schedule,
        views=views,
        teacher_steps=teacher_steps,
        few_steps=few_steps,
        ema=ema,
        huber=huber,
        weighting=weighting,
        rank=rank,
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
    with open_model(Source(model or builtin.pipeline_folder(), variant, prediction_type, parts_from)) as teacher:
        task = Task(teacher, images, out, held_out, work)
        result = tune(task, settings, execution, accelerator, console.progress, training.note, DISTILLATION)
    if not training.end(accelerator):
        return
    if json:
        console.print_json(asdict(result))
        return
    build = typed("gen", "build-engine", "--model", result.out, "--out", f"{result.out}-bundle")
    training.tell(result, f"{build}, or with the teacher for its first step: see docs/how-to/few-steps.md")
