"""`bench paper`: how long the paper's images take on this device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options
from bench.commands.paper_study import repeat_study
from bench.commands.show import deliver, note
from bench.measure import models
from bench.measure.bundles import Wanted, backend_of, check_modes, usual_backend
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord
from bench.peers.anchors import PAPER_IMAGES
from dermforge.common import console
from dermforge.common.tracking import Track
from dermforge.common.unused_options import used_only
from gen.plan.grid import PRESETS

#: What only the timed runs use.
TIMED = (
    *(
        "bundle",
        "model",
        "backend",
        "precision",
        "bundle_rows",
        "compile_mode",
        "device",
        "preset",
        "images",
        "repeats",
    ),
    *("growth", "total"),
)
#: What only the study uses.
STUDIED = (
    "n_real",
    "ratios",
    "seeds",
    "base",
    "photographs",
    "strategies",
    "size",
    "classifier_steps",
    "metric",
    "track",
)


@used_only("with --study", lambda given: given["study"], *STUDIED)
@used_only("without --study", lambda given: not given["study"], *TIMED)
def paper(
    bundle: Annotated[Path | None, typer.Argument(help="An engine bundle [default: one is built from --model]")] = None,
    model: options.Model = models.BUILT_IN,
    backend: options.Backend = None,
    precision: options.Precision = "fp32",
    bundle_rows: options.BundleRows = None,
    compile_mode: options.Compile = None,
    device: options.Device = None,
    preset: Annotated[list[str] | None, typer.Option(help=f"{', '.join(PRESETS)}; repeatable [default: all]")] = None,
    images: Annotated[int, typer.Option(help="Images of one timed run.", min=1)] = 60,
    repeats: Annotated[int, typer.Option(help="Timed runs; the interval comes from their spread.", min=1)] = 5,
    growth: Annotated[int, typer.Option(help="Also time 1, 10 and 100 times this many images; 0 to skip.", min=0)] = 4,
    total: Annotated[int, typer.Option(help="Images to extrapolate to.", min=1)] = PAPER_IMAGES,
    study: Annotated[
        bool, typer.Option("--study", help="Repeat the paper's study on phantoms instead, in WORK/study; it resumes.")
    ] = False,
    n_real: Annotated[str | None, typer.Option(help="Real images per class [default: 8,16,32,64].")] = None,
    ratios: Annotated[str | None, typer.Option(help="Synthetic for each real one [default: 1,2,5,10,20,50].")] = None,
    seeds: Annotated[int | None, typer.Option(help="Draws of real images and generators [default: 5].", min=1)] = None,
    photographs: Annotated[
        Path | None,
        typer.Option(help="Real photographs instead of phantoms: a folder with train/, validation/, test/."),
    ] = None,
    strategies: Annotated[str | None, typer.Option(help="Strategies, separated by commas [default: all].")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side in pixels of the synthetic images, for photographs [default: 64].")
    ] = None,
    classifier_steps: Annotated[
        int | None, typer.Option(help="Optimiser steps of each classifier [default: 600].", min=1)
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="The outcome, as of evalsuite study [default: accuracy; of photographs balanced_accuracy]; it may be "
            "changed later."
        ),
    ] = None,
    base: Annotated[
        list[str] | None, typer.Option(help="What generators know: other-phantoms or none; repeatable [default: both].")
    ] = None,
    track: Track = None,
    work: options.Work = models.WORK,
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """How long the paper's 458,920 images take here, at its settings and at the fast preset.

    Each run uses the whole sampler, files included, with equal parts of text-to-image, inpaint and inpaint-outpaint:
    the paper does not publish its own proportions.

    With --study: a generator for each number of real images and seed, its images, and the classifiers, about fifteen
    hours on two cores. Tables, figures and the claims beside the published ones go to --out.

    Example: bench paper bundle --images 60

    The study: bench paper --study --work work --out results/study-phantoms
    With your photographs, from shards make: bench paper --study --photographs data --n-real 50 --work own
    """
    if study:
        repeat_study(
            work / "study",
            out,
            as_json,
            n_real,
            ratios,
            seeds,
            base,
            photographs,
            strategies,
            size,
            classifier_steps,
            metric,
            track,
        )
        return
    from bench.suites import paper as measure
    from engines.backends.compiled_call import parse_mode

    kind = backend_of(bundle) if bundle else backend or usual_backend()
    wanted = Wanted(kind, precision, bundle_rows, parse_mode(compile_mode), device)
    check_modes([wanted])
    work.mkdir(parents=True, exist_ok=True)
    engine = wanted.open(bundle or wanted.build(models.find(model, work, note), work, say=note)[0])
    facts, presets = describe(engine.device), preset or list(PRESETS)
    run = measure.PaperRuns(engine, work)
    for name in presets:
        run.plan(name, 1)  # an unknown name is refused before anything is timed
    with console.progress("paper", len(presets) * (repeats + 1) + (3 if growth else 0), "runs") as bar:
        found = measure.rates(run, presets, images, repeats=repeats, tick=lambda part: bar(1, part))
        found += [measure.hours(m, total) for m in found if m.name.startswith("paper/")]
        if growth:
            found += measure.growth(run, presets[-1], growth, tick=lambda part: bar(1, part))
    settings = {
        "model": str(bundle or model),
        "size": engine.spec.size,
        "images": images,
        "total": total,
        "backend": engine.backend,
        "precision": engine.precision,
        "rows": engine.rows,
        "certified": engine.certified,
    }
    record = BenchmarkRecord(command="paper", settings=settings, facts=facts, measurements=found)
    deliver(record, out, as_json, f"{engine.spec.size} px, {engine.backend} {engine.precision}")
