"""`evalsuite run`: does synthetic data help this classifier, and whom?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from dermforge.common.console import out, print_json, progress, say
from dermforge.common.tracking import Track, check_tools, tracked
from evalsuite.commands import options
from evalsuite.training.recipe import DEFAULT_MODEL, DEFAULT_SIZE, Augment, Tuning

if TYPE_CHECKING:
    from evalsuite.study.run_findings import RunFindings


def run(
    real: Annotated[Path, typer.Option(help="Real images: a folder with train/, validation/ and test/.")],
    synthetic: Annotated[list[Path], typer.Option(help="Synthetic shards; may be given again.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the report.")],
    ratio: Annotated[float, typer.Option(help="Synthetic images for each real one, at most.")] = 10.0,
    n_real: Annotated[int, typer.Option(min=0, help="Real images per class; 0: all.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Training runs of each arm; fewer than 3 give no verdict.")] = 3,
    model: options.Model = DEFAULT_MODEL,
    weights: options.Weights = "auto",
    tuning: Annotated[Tuning, typer.Option(help="All, head and batch norms, or a head on features.")] = "full",
    size: options.Size = DEFAULT_SIZE,
    steps: options.Steps = None,
    batch: Annotated[int, typer.Option(help="Images a step.")] = 32,
    lr: options.Rate = None,
    augment: Annotated[Augment, typer.Option(help="none, light, randaugment.")] = "light",
    n_boot: Annotated[int, typer.Option(min=100, help="Resamples of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the first training run; the others follow.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. [default: one a core]")] = None,
    ray: Annotated[str | None, typer.Option(help="`local`, or the address of a Ray cluster.")] = None,
    track: Track = None,
    allow_leakage: Annotated[bool, typer.Option(help="Continue although the generator saw too much.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the headline as JSON.")] = False,
) -> None:
    """Train with and without synthetic images, and report who gains: one HTML file, JSON and CSV.

    Run the same command again after an interruption: it resumes. Example:

    evalsuite run --real data --synthetic synthetic --ratio 10 --model resnet18 --size 224 --out report
    """
    from evalsuite.page.render import write_page
    from evalsuite.report import run_report
    from evalsuite.report.tracked_page import track_page
    from evalsuite.study import conduct, run_findings, track_arms
    from evalsuite.study.run_arms import Options
    from evalsuite.training.data import datasets
    from evalsuite.training.pretrained import settled_recipe

    conduct.claim_folder(folder)
    check_tools(track or ())
    recipe, note = settled_recipe(
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
    if not as_json:
        say(f"classifier: {recipe.summary()}. {note}".rstrip())
    places = datasets.Places(real=real, synthetic=tuple(synthetic), size=size)
    design = conduct.new_run(
        places,
        recipe,
        n_real=n_real,
        ratio=ratio,
        seeds=seeds,
        allow_leakage=allow_leakage,
        notes=[note] if note else (),
    )
    with tracked(track or (), folder, "run", track_arms.settings_of_study(design)) as tracking:
        finished = track_arms.arm_logger(tracking, design.recipe.seed)
        execution = Options(workers, ray, allow_leakage=allow_leakage, progress=progress, finished=finished)
        conduct.execute(design, folder, execution)
        with progress("intervals", run_findings.steps(folder), "columns") as tick:
            found = run_findings.find(folder, n_boot=n_boot, tick=lambda n: tick(n))
        record = run_findings.write_record(found, folder)
        report = run_report.report(found)
        page = write_page([report], folder)
        tracking.outcome(track_arms.outcome_of_study(found.study, folder / run_findings.RECORD))
        track_page(tracking, report)
    if as_json:
        keys = ("classifier", "notes", "leakage")
        print_json({**record["headline"], "report": str(page), **{key: record[key] for key in keys}})
        return
    show(found, page)


def show(found: RunFindings, page: Path) -> None:
    """The headline, the groups and where to read on."""
    from evalsuite.study.arm_scores import ALL
    from evalsuite.study.run_findings import NAMES

    head, (low, high) = found.headline(), found.gain_interval()
    seeds = found.study.design.seeds
    over = f" over {seeds} seeds" if seeds > 1 else ""
    table = Table(title=f"accuracy by {found.column}{over} (95% intervals)")
    for name in (found.column, "n", *NAMES.values(), "difference"):
        table.add_column(name)
    for row in found.by_group():
        table.add_row(*row)
    out.print(table)
    for text in found.study.leakage:
        say("leakage: " + text, style="red")
    say(f"classifier: {found.study.design.recipe.summary()}")
    for kind, name in NAMES.items():
        h = head[kind]
        say(f"accuracy{over}, {name}: {h['accuracy']:.3f} ({h['low']:.3f} to {h['high']:.3f})")
    say(f"gain: {found.gain.value:+.3f} ({low:+.3f} to {high:+.3f})")
    if lacks := found.study.lacking[ALL]:
        say(f"no answer: not enough data ({lacks})")
    worst = head["worst_group"]["mix"]
    if worst:
        say(
            f"worst {found.column} with synthetic images: {worst['group']}, {worst['accuracy']:.3f} "
            f"({worst['low']:.3f} to {worst['high']:.3f})"
        )
    say(f"report: {page}")
