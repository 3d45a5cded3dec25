"""`gen distill`: a pipeline and its training images in, a student that draws in few steps out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.errors import UserError
from dermforge.common.unused_options import used_only


@used_only("with --method lora", lambda given: given["method"] == "lora", "rank", "keep_adapter")
def distill(
    data: Annotated[str, typer.Option(help="The images the model was tuned on: shards or a folder")],
    out: Annotated[Path, typer.Option(help="The student's pipeline folder to write")],
    model: Annotated[str | None, typer.Option(help="The teacher: a pipeline folder or id [default: built in]")] = None,
    method: Annotated[str, typer.Option(help="full (the UNet) or lora")] = "full",
    guidance: Annotated[
        str, typer.Option(help="Teacher's scale, learnt for good; LOW:HIGH makes it an input (full only)")
    ] = "3",
    holdout: Annotated[
        str | None, typer.Option(help="Ids (.txt, or a table with a column id), or shards, that must not be trained on")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="Prompts, with {class} and {group} [default: the model's, else the paper's]")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps")] = 1000,
    batch: Annotated[int, typer.Option(help="Images of a step, over all processes")] = 16,
    micro_batch: Annotated[int, typer.Option(help="Images that a process takes at once; 0: its whole share")] = 0,
    learning_rate: Annotated[float | None, typer.Option(help="Constant [default: full 8e-6, lora 1e-4]")] = None,
    warmup: Annotated[int, typer.Option(help="Steps over which the learning rate rises")] = 0,
    teacher_steps: Annotated[int, typer.Option(help="Steps of the teacher's solver (DDIM)")] = 50,
    few_steps: Annotated[int, typer.Option(help="Steps that the student's images take by default")] = 4,
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights, which are target and result")] = 0.95,
    huber: Annotated[float, typer.Option(help="c of the pseudo-Huber loss")] = 1e-3,
    rank: Annotated[int, typer.Option(help="Of LoRA's updates")] = 64,
    keep_adapter: Annotated[
        bool, typer.Option("--keep-adapter", help="Also write LoRA's adapter alone, to OUT/lora")
    ] = False,
    size: Annotated[int | None, typer.Option(help="Image side in pixels [default: the model's]")] = None,
    views: Annotated[int, typer.Option(help="Crops and flips of each image that are encoded, taken in turn")] = 8,
    mixed_precision: Annotated[str, typer.Option(help="no, fp16 or bf16")] = "no",
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time")
    ] = False,
    checkpoint_every: Annotated[int, typer.Option(help="Steps between checkpoints")] = 100,
    validate_every: Annotated[int, typer.Option(help="Steps between sheets of the student's images; 0 for none")] = 0,
    track: Annotated[str | None, typer.Option(help="tensorboard or wandb, in addition to log.csv")] = None,
    seed: Annotated[int, typer.Option(help="Decides every draw")] = 0,
    work: Annotated[Path | None, typer.Option(help="Checkpoint, latents, log [default: OUT.work]")] = None,
    keep_work: Annotated[bool, typer.Option("--keep-work", help="Keep it, to train for longer later on")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again instead of resuming")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout")] = False,
) -> None:
    """Teach a student to draw in few steps what a pipeline draws in many; run it again to resume.

    Latent consistency distillation (arXiv 2310.04378) with the teacher's guidance, on the teacher's own latents of real
    images. Images marked validation or test are left out. Draw with it by `gen build-engine --model OUT`.

    Example: gen distill --model ./tuned --data ./photos --guidance 3 --holdout test.csv --out ./student
    """
    from gen import builtin
    from gen.distill.lesson import DISTILLATION
    from gen.distill.settings import Distillation, parse_guidance
    from gen.finetune.data.holdout import Holdout, read_holdout
    from gen.finetune.settings import Execution
    from gen.finetune.tune import Task, new_accelerator, tune
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
        views=views,
        teacher_steps=teacher_steps,
        few_steps=few_steps,
        ema=ema,
        huber=huber,
        rank=rank,
        mixed_precision=mixed_precision,
        seed=seed,
    )
    if min(micro_batch, checkpoint_every, validate_every) < 0:
        raise UserError("--micro-batch, --checkpoint-every and --validate-every must be 0 or more")
    execution = Execution(
        micro_batch=micro_batch,
        checkpoint_every=checkpoint_every,
        validate_every=validate_every,
        gradient_checkpointing=gradient_checkpointing,
        keep_adapter=keep_adapter,
        keep_work=keep_work,
        fresh=fresh,
        track=track,
    )
    images, held_out = open_data(data), read_holdout(holdout) if holdout else Holdout()
    accelerator = new_accelerator(settings, execution)
    console.err.quiet = not accelerator.is_main_process
    task = Task(model or builtin.pipeline_folder(), images, out, held_out, work)
    result = tune(task, settings, execution, accelerator, console.progress, _note, DISTILLATION)
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
        f"{result.out}: {result.images} images{left}, {state}; next: `gen build-engine --model {result.out} --out "
        f"{result.out}-bundle`, or with the teacher for its first step: see docs/how-to/few-steps.md"
    )


def _note(text: str) -> None:
    """On stderr, like the progress; quiet in all processes but one."""
    console.err.print(text, soft_wrap=True)
