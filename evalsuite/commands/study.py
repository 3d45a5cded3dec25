"""`evalsuite study`: at which dose does synthetic data help, and whom?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dermforge.common.console import print_json, progress, say
from dermforge.common.errors import UserError
from dermforge.common.numbers_list import numbers
from dermforge.common.tracking import Track, check_tools, tracked
from dermforge.common.unused_options import used_only
from evalsuite.commands import options
from evalsuite.study.kinds import CONTROLS, WHAT, Kind
from evalsuite.study.names import ControlDoses, Metric, Preset
from evalsuite.training.recipe import Augment, Recipe, Tuning

if TYPE_CHECKING:
    from evalsuite.study import analysis
    from evalsuite.study.design import Design, Grid

#: What `--json` prints of study.json.
PRINTED = ("classifier", "verdicts", "compared", "saturation", "exchange", "reference_ratio", "notes", "leakage")


@used_only("with --adaptive", lambda given: given["adaptive"], "max_ratio")
def study(
    real: Annotated[Path, typer.Option(help="Real images: a folder with train/, validation/ and test/.")],
    synthetic: Annotated[
        list[Path],
        typer.Option(help="Synthetic shards, or a folder of such sets, one a generator; may be given again."),
    ],
    folder: Annotated[Path, typer.Option("--out", help="Folder for arms and report.")],
    preset: Annotated[
        Preset,
        typer.Option(
            help="Grid and classifier to start from: photographs (resnet18 at 224 px, for a GPU), laptop (a small one "
            "at 64 px, for phantoms), sagers2023 (the paper's)."
        ),
    ] = "photographs",
    n_real: Annotated[str | None, typer.Option(help="Real images per class, e.g. 8,16,32.")] = None,
    ratios: Annotated[str | None, typer.Option(help="Synthetic images for each real one, e.g. 1,5,10.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Training runs of each arm.")] = None,
    strategies: Annotated[str | None, typer.Option(help="Strategies to compare, e.g. inpaint,text-to-image.")] = None,
    arms: Annotated[
        str,
        typer.Option(
            help="Optional arms: real-short, real-repeated, randaugment, synthetic-only, pretrain (synthetic, then "
            "real), all-real (upper bound), untuned, shuffled-labels (placebo), dark-only; or none."
        ),
    ] = ",".join(CONTROLS),
    untuned: Annotated[
        list[Path] | None, typer.Option(help="Shards of a generator that was not tuned; adds the arm untuned.")
    ] = None,
    external: Annotated[
        Path | None, typer.Option(help="Real images of another source, on which every arm is tested too.")
    ] = None,
    generators: Annotated[
        int, typer.Option(min=1, help="Generators tuned on each arm's real images, with other seeds; each a set.")
    ] = 1,
    val_fraction: Annotated[
        float,
        typer.Option(
            min=0, max=0.9, help="Share of each arm's own real images that choose its checkpoint; 0: validation/ does."
        ),
    ] = 0.0,
    adaptive: Annotated[bool, typer.Option(help="Double the dose until the gain stops, then stop.")] = False,
    max_ratio: Annotated[float, typer.Option(help="Largest dose of --adaptive.")] = 128.0,
    controls_at: Annotated[
        ControlDoses,
        typer.Option(
            help="Train the controls at the dose of the verdicts (reference), or at every dose (all; with the default "
            "grid 280 arms in place of 160)."
        ),
    ] = "reference",
    metric: Annotated[
        Metric, typer.Option(help="accuracy, balanced_accuracy, auroc (mean over classes) or sensitivity:CLASS.")
    ] = "accuracy",
    groups: Annotated[
        str, typer.Option(help="Column of the test images whose groups are judged; `group` is the skin type.")
    ] = "group",
    margin: Annotated[float, typer.Option(help="Differences up to this do not matter.")] = 0.02,
    features: Annotated[Path | None, typer.Option(help="Parquet of features: id, f0, f1, ...")] = None,
    body: Annotated[Path | None, typer.Option(help="Checkpoint whose body gives the features.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The classifier: any timm model. [default: resnet18, or the preset's]")
    ] = None,
    weights: Annotated[str | None, typer.Option(help=f"{options.WEIGHTS} [default: auto, or the preset's]")] = None,
    tuning: Annotated[Tuning | None, typer.Option(help="full, head, features.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side in pixels of the images that it sees. [default: 224, or the preset's]")
    ] = None,
    steps: options.Steps = None,
    batch: Annotated[int | None, typer.Option(help="Images a step. [default: 32, or the preset's]")] = None,
    lr: options.Rate = None,
    augment: Annotated[Augment | None, typer.Option(help="none, light, randaugment.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first training run; the others follow.")] = 0,
    n_boot: Annotated[int, typer.Option(min=100, help="Resamples of the intervals.")] = 500,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. [default: one a core]")] = None,
    ray: Annotated[str | None, typer.Option(help="`local`, or the address of a Ray cluster.")] = None,
    track: Track = None,
    allow_leakage: Annotated[bool, typer.Option(help="Continue although the generator saw too much.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Train arms over real images x dose x seed with their controls; report saturation and exchange rates.

    Run the same command again after an interruption: it resumes. Of several generators an arm takes the one that was
    tuned on the arm's own real images. Example:

    evalsuite study --real data --synthetic synthetic --n-real 8,16,32 --model resnet18 --size 224 --out study
    """
    from evalsuite.page.render import write_page
    from evalsuite.report import study_report
    from evalsuite.report.tracked_page import track_page
    from evalsuite.study import body_features, conduct, study_findings, track_arms
    from evalsuite.study.design import PRESETS, new_study
    from evalsuite.study.run_arms import Options
    from evalsuite.training.data import datasets, held_out

    conduct.claim_folder(folder)
    check_tools(track or ())
    start = PRESETS[preset]
    grid = replace(
        start,
        sizes=numbers(n_real, "--n-real", int, 1) or start.sizes,
        ratios=numbers(ratios, "--ratios", float, 0) or start.ratios,
        seeds=seeds or start.seeds,
        strategies=[s.strip() for s in strategies.split(",")] if strategies else (),
        control_doses=controls_at,
        metric=metric,
        groups=groups,
        margin=margin,
        adaptive=adaptive,
        arms=_arms(arms, bool(untuned)),
        val_fraction=val_fraction,
        generators=generators,
    )
    recipe, note = _recipe(
        grid,
        features,
        body,
        model=model,
        weights=weights,
        tuning=tuning,
        size=size,
        steps=steps,
        batch=batch,
        lr=lr,
        augment=augment,
        seed=seed,
    )
    places = datasets.Places(
        real=real,
        synthetic=datasets.sets_in(synthetic),
        size=recipe.size,
        features=features,
        untuned=datasets.sets_in(untuned or []),
        external=external,
        generators_apart=generators > 1,
    )
    opened = datasets.open_data(places)
    leaks = held_out.check_held_out(opened, allow_leakage)
    design = new_study(places, recipe, grid, leaks, notes=[note] if note else ())
    if not as_json:
        say(f"classifier: {recipe.summary()}. {note}".rstrip())
    conduct.check(design, opened, allow_leakage)
    limit = {n: min(max_ratio, conduct.largest_dose(design, opened, n)) for n in design.sizes}
    if body_features.needed(design):
        with progress("features", sum(images.n for images in opened.parts.values())) as tick:
            design = body_features.compute(design, opened, folder, body, lambda n: tick(n))
    with tracked(track or (), folder, "study", track_arms.settings_of_study(design)) as tracking:
        finished = track_arms.arm_logger(tracking, design.recipe.seed)
        execution = Options(workers, ray, allow_leakage=allow_leakage, progress=progress, finished=finished)
        train = partial(conduct.execute, out=folder, options=execution)
        found = _conduct(design, folder, limit, n_boot, train)
        record = study_findings.write_record(found, folder)
        report = study_report.report(found)
        page = write_page([report], folder)
        tracking.outcome(track_arms.outcome_of_study(found, folder / study_findings.RECORD))
        track_page(tracking, report)
    if as_json:
        print_json({key: record[key] for key in PRINTED} | {"report": str(page)})
        return
    for text in found.leakage:
        say("leakage: " + text, style="red")
    for group, words in record["verdicts"].items():
        say(f"{group}: {words}")
    for sentence in record["compared"].get("all", ()):
        say(sentence)
    say(f"report: {page}")


def _conduct(
    design: Design, folder: Path, limit: dict[int, float], n_boot: int, train: Callable[[Design], None]
) -> analysis.Analysis:
    """Train and analyse; with `adaptive` repeatedly, each time with the ratio doubled."""
    from evalsuite.study import analysis, arm_scores, conduct

    design = design.model_copy(update={"controls": not design.adaptive})
    while True:
        train(design)
        with progress("intervals", len(arm_scores.cells(design)), "arms") as tick:
            found = analysis.analyse(folder, n_boot=n_boot, tick=lambda n: tick(n))
        following = conduct.next_doses(design, found.flat(), limit) if design.adaptive else None
        if following is not None:
            say(
                "the gain continues: doses up to "
                + ", ".join(f"{r[-1]:g}:1 with {n}" for n, r in following.doses.items())
            )
        elif design.controls:
            return found
        design = following or design.model_copy(update={"controls": True})


def _recipe(grid: Grid, features: Path | None, body: Path | None, **given: object) -> tuple[Recipe, str]:
    """The preset's recipe with what was given, and a sentence on its weights; of a body given, that body's own."""
    from dermforge.common.classifier import WEIGHTS
    from evalsuite.training import checkpoint
    from evalsuite.training.pretrained import settled_recipe
    from evalsuite.training.recipe import SCRATCH

    fields = {**grid.recipe, **{k: v for k, v in given.items() if v is not None}}
    if body is not None:
        own = checkpoint.read_record(body).recipe
        brought = {"model": own.model, "size": own.size, "weights": str(body / WEIGHTS)}
        other = [f"--{name} {given[name]}" for name in brought if given[name] not in (None, brought[name])]
        if other:
            raise UserError(f"{body} brings its own model ({own.model} at {own.size} px); leave out {', '.join(other)}")
        fields |= brought
    elif features is not None:
        fields["weights"] = SCRATCH
    return settled_recipe(**fields, **({"tuning": "features"} if features or body else {}))


def _arms(text: str, untuned: bool) -> list[Kind]:
    """The optional arms that are named; shards of an untuned generator name one too."""
    words = [word.strip() for word in text.split(",") if word.strip() not in ("", "none")]
    unknown = [word for word in words if word not in WHAT]
    if unknown:
        raise UserError(f"--arms {text}: no such arm as {', '.join(unknown)}; expected {', '.join(WHAT)}, or none")
    if "untuned" in words and not untuned:
        raise UserError("--arms untuned needs --untuned SHARDS, images of a generator that was not tuned")
    return [kind for kind in WHAT if kind in words or (kind == "untuned" and untuned)]
