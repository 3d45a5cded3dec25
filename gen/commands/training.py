"""What the commands that train have in common: options, processes, and what they say in the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from dermforge.common import console
from dermforge.common.clear_names import in_clear, warning
from dermforge.common.tracking import Track as Track

if TYPE_CHECKING:
    from accelerate import Accelerator

    from gen.finetune.settings import Execution
    from gen.finetune.trainer import Optimisation

HeldOut = Annotated[
    str | None,
    typer.Option(
        help="Ids (.txt, or a table with a column id), or a set, that must not be trained on: all of it, or, where it "
        "has validation or test images, those not marked train"
    ),
]
Template = Annotated[
    str | None, typer.Option(help="Prompts, with {class} and {group} [default: the model's, else the paper's]")
]
Batch = Annotated[int, typer.Option(help="Images of a step, over all processes")]
MicroBatch = Annotated[int, typer.Option(help="Images that a process takes at once; 0: its whole share")]
Warmup = Annotated[int, typer.Option(help="Steps over which the learning rate rises")]
Schedule = Annotated[
    str,
    typer.Option(help="Of the learning rate: constant (can be made longer later on) or cosine (to 0 at the last step)"),
]
Size = Annotated[int | None, typer.Option(help="Image side in pixels [default: the model's]")]
Views = Annotated[int, typer.Option(help="Crops and flips of each image that are encoded, taken in turn")]
Rank = Annotated[int, typer.Option(help="Of LoRA's updates")]
KeepAdapter = Annotated[bool, typer.Option("--keep-adapter", help="Also write LoRA's adapter alone, to OUT/lora")]
MixedPrecision = Annotated[str, typer.Option(help="no, fp16 or bf16")]
GradientCheckpointing = Annotated[bool, typer.Option("--gradient-checkpointing", help="Less memory, more time")]
CheckpointEvery = Annotated[int, typer.Option(help="Steps between checkpoints")]
Seed = Annotated[int, typer.Option(help="Decides every draw")]
Work = Annotated[Path | None, typer.Option(help="Checkpoint, latents, log [default: OUT.work]")]
KeepWork = Annotated[bool, typer.Option("--keep-work", help="Keep it, to train for longer later on")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start again instead of resuming")]


class Result(Protocol):
    """What a run did, as `FinetuneResult` and `DecoderResult` say it."""

    @property
    def out(self) -> str: ...
    @property
    def images(self) -> int: ...
    @property
    def left_out(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def already(self) -> bool: ...


def begin(settings: Optimisation, execution: Execution) -> Accelerator:
    """The processes of a run, of which the main one alone writes to the terminal."""
    from gen.finetune.tune import new_accelerator

    accelerator = new_accelerator(settings, execution)
    console.err.quiet = not accelerator.is_main_process
    return accelerator


def end(accelerator: Accelerator) -> bool:
    """End the processes of a run; whether this is the main one, which says what was done."""
    main = bool(accelerator.is_main_process)
    accelerator.end_training()
    return main


def note(text: str) -> None:
    """A line on stderr, like the progress."""
    console.err.print(text, soft_wrap=True)


def tell(result: Result, following: str, *more: str) -> None:
    """What a run did and what comes next, in a line, and a warning of names that stand in clear.

    Parameters
    ----------
    more
        What there is to say beside images and steps.
    """
    from engines.facts import FACTS, read_facts

    left = [f"{result.left_out} left out"] if result.left_out else []
    state = "was done already" if result.already else f"{result.steps} steps"
    console.say(f"{result.out}: {', '.join([f'{result.images} images', *left, *more, state])}; next: {following}")
    out = Path(result.out)
    if clear := in_clear(read_facts(out)["lineage"]):
        note(f"warning: {warning(clear, str(out / FACTS))}")
