"""`gen distill-decoder`: a pipeline and real images in, a small decoder of its latents out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.errors import UserError
from gen.commands.model_options import PartsFrom, PredictionType, Variant


def distill_decoder(
    data: Annotated[str, typer.Option(help="Shards, or a folder of images")],
    out: Annotated[Path, typer.Option(help="The decoder's folder to write")],
    model: Annotated[
        str | None, typer.Option(help="A diffusers pipeline folder, hub id or .safetensors file [default: built in]")
    ] = None,
    variant: Variant = None,
    prediction_type: PredictionType = None,
    parts_from: PartsFrom = None,
    holdout: Annotated[
        str | None, typer.Option(help="Ids (.txt, or a table with a column id), or shards, that must not be trained on")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Channels [default: half of those of the VAE's largest maps, as TAESD]")
    ] = None,
    blocks: Annotated[int, typer.Option(help="Residual blocks before each enlargement")] = 3,
    steps: Annotated[int, typer.Option(help="Optimiser steps")] = 4000,
    batch: Annotated[int, typer.Option(help="Images of a step, over all processes")] = 8,
    micro_batch: Annotated[int, typer.Option(help="Images that a process takes at once; 0: its whole share")] = 0,
    learning_rate: Annotated[float, typer.Option(help="Constant after 100 steps")] = 1e-3,
    size: Annotated[int | None, typer.Option(help="Image side in pixels [default: the model's]")] = None,
    views: Annotated[int, typer.Option(help="Crops and flips of each image that are encoded, taken in turn")] = 8,
    ema: Annotated[float, typer.Option(help="Decay of averaged weights; 0 for none")] = 0.995,
    mixed_precision: Annotated[str, typer.Option(help="no, fp16 or bf16")] = "no",
    checkpoint_every: Annotated[int, typer.Option(help="Steps between checkpoints")] = 500,
    seed: Annotated[int, typer.Option(help="Decides every draw")] = 0,
    work: Annotated[Path | None, typer.Option(help="Checkpoint, latents, log [default: OUT.work]")] = None,
    keep_work: Annotated[bool, typer.Option("--keep-work", help="Keep it, to train for longer later on")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again instead of resuming")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout")] = False,
) -> None:
    """Train a small decoder to give what a pipeline's VAE gives; run it again to resume.

    Images marked validation or test are left out; images that --holdout names are refused.

    Example: gen distill-decoder --model ./tuned --data ./photos --out ./decoder
    """
    from engines.source import Source, open_model
    from gen import builtin
    from gen.decoder.distill import DecoderTask
    from gen.decoder.distill import distill_decoder as run
    from gen.decoder.settings import DecoderSettings
    from gen.finetune.data.holdout import Holdout, read_holdout
    from gen.finetune.settings import Execution
    from gen.finetune.tune import new_accelerator
    from shards.ingest.folder import open_data

    settings = DecoderSettings.check(
        width=width,
        blocks=blocks,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        size=size,
        views=views,
        ema=ema,
        mixed_precision=mixed_precision,
        seed=seed,
    )
    if min(micro_batch, checkpoint_every) < 0:
        raise UserError("--micro-batch and --checkpoint-every must be 0 or more")
    execution = Execution(micro_batch=micro_batch, checkpoint_every=checkpoint_every, keep_work=keep_work, fresh=fresh)
    held_out = read_holdout(holdout) if holdout else Holdout()
    images = open_data(data)
    accelerator = new_accelerator(settings, execution)
    console.err.quiet = not accelerator.is_main_process

    def note(text: str) -> None:
        console.err.print(text, soft_wrap=True)

    with open_model(Source(model or builtin.pipeline_folder(), variant, prediction_type, parts_from)) as base:
        task = DecoderTask(base, images, out, held_out, work)
        result = run(task, settings, execution, accelerator, console.progress, note)
    main = accelerator.is_main_process
    accelerator.end_training()
    if not main:
        return
    if json:
        console.print_json(asdict(result))
        return
    state = "was done already" if result.already else f"{result.steps} steps"
    left = f", {result.left_out} left out" if result.left_out else ""
    console.say(
        f"{out}: {result.images} images{left}, {result.width} channels, {state}; next: "
        f"`gen build-engine --decoder {out}`"
    )
