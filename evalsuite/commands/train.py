"""`evalsuite train`: one classifier on real and synthetic images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from dermforge.common.console import out, print_json, progress, say
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim
from dermforge.common.tracking import Track, check_tools, tracked
from dermforge.common.unused_options import used_only
from evalsuite.commands import options
from evalsuite.study.kinds import Kind
from evalsuite.training.recipe import DEFAULT_MODEL, DEFAULT_SIZE, Augment, Mode, Tuning

if TYPE_CHECKING:
    from evalsuite.study import arm as arms


@used_only("with --synthetic", lambda given: given["synthetic"], "split_bn")
def train(
    real: Annotated[Path, typer.Option(help="Real images: a folder with train/, validation/ and test/.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for checkpoint and predictions.")],
    synthetic: Annotated[list[Path] | None, typer.Option(help="Synthetic shards; may be given again.")] = None,
    ratio: Annotated[float | None, typer.Option(help="Synthetic images for each real one. [default: 10, or 0]")] = None,
    n_real: Annotated[int, typer.Option(min=0, help="Real images per class; 0: all.")] = 0,
    strategy: Annotated[str | None, typer.Option(help="Synthetic images of this strategy only.")] = None,
    mode: Annotated[Mode, typer.Option(help="How real and synthetic images are combined.")] = "mix",
    model: options.Model = DEFAULT_MODEL,
    weights: options.Weights = "auto",
    tuning: Annotated[Tuning, typer.Option(help="Train all, head and batch norms, or a head on features.")] = "full",
    size: options.Size = DEFAULT_SIZE,
    steps: options.Steps = None,
    batch: Annotated[int, typer.Option(help="Images per step, over all processes.")] = 32,
    optimizer: Annotated[str, typer.Option(help="adamw or sgd.")] = "adamw",
    lr: options.Rate = None,
    weight_decay: Annotated[float, typer.Option(help="Of the optimiser.")] = 0.05,
    label_smoothing: Annotated[float, typer.Option(help="Share of each label that goes to all.")] = 0.1,
    augment: Annotated[Augment, typer.Option(help="none, light or randaugment.")] = "light",
    class_weights: Annotated[bool, typer.Option(help="Weigh the loss by inverse class frequency.")] = False,
    balanced: Annotated[bool, typer.Option(help="Draw every class equally often.")] = False,
    ema: Annotated[float, typer.Option(help="Decay of a moving average of the weights; 0: none.")] = 0.0,
    patience: Annotated[int | None, typer.Option(help="Evaluations without improvement before stopping.")] = None,
    evaluate_every: Annotated[
        int | None,
        typer.Option(help="Steps between evaluations on the real validation images. [default: a twelfth of all]"),
    ] = None,
    split_bn: Annotated[bool, typer.Option(help="Separate batch norm statistics for synthetic images.")] = False,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    seed: Annotated[int, typer.Option(help="Decides every draw.")] = 0,
    allow_leakage: Annotated[bool, typer.Option(help="Train although the generator saw too much.")] = False,
    track: Track = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a timm model on real and synthetic images; run it again after an interruption to resume exactly.

    Example: evalsuite train --real data --synthetic synthetic --ratio 10 --model resnet18 --size 224 --out classifier

    Several GPUs: torchrun --no-python --nproc-per-node 4 evalsuite train ...
    """
    from dermforge.common.classifier import RECORD, WEIGHTS
    from evalsuite.study import arm as arms
    from evalsuite.study import track_arms
    from evalsuite.study.train_arm import Execution
    from evalsuite.study.train_arm import train as train_arm
    from evalsuite.training import resume
    from evalsuite.training.data import datasets, held_out
    from evalsuite.training.distributed import world
    from evalsuite.training.pretrained import settled_recipe
    from shards.storage.turn import turn

    files = (arms.RESULT, RECORD, arms.PREDICTIONS, arms.VALIDATION, resume.NAME)
    claim(folder, "a trained classifier", files, [WEIGHTS])
    check_tools(track or ())
    recipe, note = settled_recipe(
        model=model,
        weights=weights,
        tuning=tuning,
        mode=mode,
        ratio=(10.0 if synthetic else 0.0) if ratio is None else ratio,
        size=size,
        steps=steps,
        batch=batch,
        optimizer=optimizer,
        lr=lr,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        augment=augment,
        class_weights=class_weights,
        balanced=balanced,
        ema=ema,
        patience=patience,
        evaluate_every=evaluate_every,
        split_bn=split_bn,
        precision=precision,
        seed=seed,
    )
    kind: Kind = "synthetic-only" if mode == "synthetic-only" else "mix" if synthetic and recipe.ratio else "real"
    if not synthetic and (mode != "mix" or recipe.ratio or strategy):
        raise UserError(
            f"--mode {mode} at ratio {recipe.ratio:g}"
            f"{f' with --strategy {strategy}' if strategy else ''} needs --synthetic SHARDS"
        )
    if mode != "mix" and not recipe.ratio:
        raise UserError(f"--mode {mode} at ratio 0 draws no synthetic image; give a --ratio above 0")
    arm = arms.Arm(kind=kind, n_real=n_real, strategy=strategy, recipe=recipe)
    places = datasets.Places(real=real, synthetic=tuple(synthetic or ()), size=size)
    with world() as group:
        if group.is_main and not as_json:
            say(f"classifier: {recipe.summary()}. {note}".rstrip())
        opened = datasets.open_data(places)
        leaks = held_out.check_held_out(opened, allow_leakage)
        tools = (track or ()) if group.is_main else ()
        with tracked(tools, folder, "train", track_arms.settings_of_arm(arm, datasets.digest(places))) as tracking:
            log = partial(track_arms.log_evaluation, tracking)
            execution = Execution(group, allow_leakage, log=log, notes=[note] if note else ())
            if group.is_main:
                folder.mkdir(parents=True, exist_ok=True)
                with turn(folder, patience=0), progress("train", recipe.steps * batch) as tick:
                    result = train_arm(arm, opened, folder, replace(execution, tick=tick))
            else:
                result = train_arm(arm, opened, folder, execution)
            tracking.outcome(track_arms.outcome_of_arm(result))
        if not group.is_main:
            return
    _report(result, folder, leaks, as_json)


def _report(result: arms.Result, folder: Path, leaks: list[str], as_json: bool) -> None:
    """Print the result for people or as JSON."""
    if as_json:
        facts = {"classifier": result.arm.recipe.summary(), "folder": str(folder), "leakage": leaks + result.leakage}
        print_json({**result.model_dump(mode="json"), **facts})
        return
    for text in leaks + result.leakage:
        out.print(Text.assemble(("leakage:", "red"), " ", text), soft_wrap=True)
    say(
        f"accuracy {result.test_accuracy:.3f} on the real test images (validation {result.validation_accuracy:.3f}, "
        f"best at step {result.best_step} of {result.steps}); {result.images_per_second:.0f} images/s\n"
        f"drawn: {result.seen_real} real, {result.seen_synthetic} synthetic images (of {result.real} and "
        f"{result.synthetic})\ncheckpoint and predictions: {folder}"
    )
