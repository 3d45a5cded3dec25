"""`gen finetune`: a pipeline and real images in, a tuned pipeline with its lineage out."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.clear_names import in_clear, warning
from dermforge.common.errors import UserError
from dermforge.common.unused_options import used_only
from gen.commands.model_options import PartsFrom, PredictionType, Variant


@used_only("with --method lora", lambda given: given["method"] == "lora", "rank", "keep_adapter")
@used_only("without --steps", lambda given: given["steps"] is None, "epochs")
@used_only("with --prior", lambda given: given["prior"], "prior_prompt", "prior_weight")
def finetune(
    data: Annotated[str, typer.Option(help="Shards, or a folder of images with a CSV or a folder a class")],
    out: Annotated[Path, typer.Option(help="The pipeline folder to write")],
    model: Annotated[
        str | None, typer.Option(help="A diffusers pipeline folder, hub id or .safetensors file [default: built in]")
    ] = None,
    variant: Variant = None,
    prediction_type: PredictionType = None,
    parts_from: PartsFrom = None,
    method: Annotated[str, typer.Option(help="full (the denoiser), lora, textual-inversion (a word a class)")] = "full",
    per_class: Annotated[bool, typer.Option("--per-class", help="One model for each class, in OUT/CLASS")] = False,
    holdout: Annotated[
        str | None, typer.Option(help="Ids (.txt, or a table with a column id), or shards, that must not be trained on")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="Prompts, with {class} and {group} [default: the model's, else the paper's]")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Times that each image is seen [default: full 4, others 20]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, in place of epochs")] = None,
    batch: Annotated[int, typer.Option(help="Images of a step, over all processes")] = 4,
    micro_batch: Annotated[int, typer.Option(help="Images that a process takes at once; 0: its whole share")] = 0,
    learning_rate: Annotated[
        float | None, typer.Option(help="Constant [default: full 5e-6, lora 1e-4, textual-inversion 5e-4]")
    ] = None,
    warmup: Annotated[int, typer.Option(help="Steps over which the learning rate rises")] = 0,
    size: Annotated[int | None, typer.Option(help="Image side in pixels [default: the model's]")] = None,
    views: Annotated[int, typer.Option(help="Crops and flips of each image that are encoded, taken in turn")] = 8,
    jitter: Annotated[float, typer.Option(help="Random change of colour; the paper's is 0.05")] = 0.0,
    drop_prompt: Annotated[float, typer.Option(help="How often the prompt is left out, 0 to 1")] = 0.0,
    rank: Annotated[int, typer.Option(help="Of LoRA's updates")] = 16,
    keep_adapter: Annotated[
        bool, typer.Option("--keep-adapter", help="Also write LoRA's adapter alone, to OUT/lora")
    ] = False,
    prior: Annotated[int, typer.Option(help="Images drawn by the base model, against forgetting")] = 0,
    prior_prompt: Annotated[str, typer.Option(help="What they show")] = "An image of a skin disease",
    prior_weight: Annotated[float, typer.Option(help="Of their loss")] = 1.0,
    min_snr: Annotated[float, typer.Option(help="Cut the loss's weight at this signal-to-noise ratio; 0: no")] = 0.0,
    ema: Annotated[float, typer.Option(help="Decay of averaged weights, such as 0.999; 0 for none")] = 0.0,
    mixed_precision: Annotated[str, typer.Option(help="no, fp16 or bf16")] = "no",
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time")
    ] = False,
    checkpoint_every: Annotated[int, typer.Option(help="Steps between checkpoints")] = 500,
    validate_every: Annotated[int, typer.Option(help="Steps between sheets of validation images; 0 for none")] = 0,
    track: Annotated[str | None, typer.Option(help="tensorboard or wandb, in addition to log.csv")] = None,
    seed: Annotated[int, typer.Option(help="Decides every draw")] = 0,
    work: Annotated[Path | None, typer.Option(help="Checkpoint, latents, log [default: OUT.work]")] = None,
    keep_work: Annotated[bool, typer.Option("--keep-work", help="Keep it, to train for longer later on")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again instead of resuming")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout")] = False,
) -> None:
    """Tune a pipeline on real images; run it again to resume. Defaults are those of Sagers et al. 2023.

    Images marked validation or test are left out; images that --holdout names are refused. On several GPUs,
    torchrun --no-python --nproc-per-node 4 gen finetune ... does the same steps as one process.

    Example: gen finetune --model ./sd21-base --data ./photos --method lora --holdout test.csv --out ./tuned
    """
    from engines.pipeline_spec import read_spec
    from engines.source import Source, open_model
    from gen import builtin
    from gen.finetune.data.holdout import Holdout, read_holdout
    from gen.finetune.settings import Execution, Hyperparameters
    from gen.finetune.tune import Task, new_accelerator, tune
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
    images = open_data(data)
    held_out = read_holdout(holdout) if holdout else Holdout()
    accelerator = new_accelerator(settings, execution)
    console.err.quiet = not accelerator.is_main_process
    source = Source(model or builtin.pipeline_folder(), variant, prediction_type, parts_from)
    with open_model(source) as base:
        whole = Task(base, images, out, held_out, work)
        tasks = [whole]
        if per_class:
            names = {c: re.sub(r"[^A-Za-z0-9_]+", "-", c) for c in images.classes}
            tasks = [
                replace(whole, data=images.where(cls=c), out=out / name, work=whole.folder / name)
                for c, name in names.items()
            ]
        results = [tune(task, settings, execution, accelerator, console.progress, _note) for task in tasks]
    main = accelerator.is_main_process
    accelerator.end_training()
    if not main:
        return
    if json:
        console.print_json([asdict(r) for r in results] if per_class else asdict(results[0]))
        return
    for result in results:
        state = "was done already" if result.already else f"{result.steps} steps"
        left = f", {result.left_out} left out" if result.left_out else ""
        prompts = f"{result.prompts} prompt{'s' * (result.prompts != 1)}"
        console.say(
            f"{result.out}: {result.images} images{left}, {prompts}, {state}; next: "
            f"`gen build-engine --model {result.out}`"
        )
        if clear := in_clear(read_spec(Path(result.out)).lineage):
            _note(f"warning: {warning(clear, f'{result.out}/dermforge.json')}")


def _note(text: str) -> None:
    """On stderr, like the progress; quiet in all processes but one."""
    console.err.print(text, soft_wrap=True)
