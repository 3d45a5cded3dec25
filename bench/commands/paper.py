"""`bench paper`: how long the paper's images take on this device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import engines
from bench.measure import models
from bench.measure.device import describe
from bench.measure.record import Record, deliver
from bench.suites import paper as measure
from dermforge.common import console
from gen.plan.grid import PRESETS


def paper(
    bundle: Annotated[Path | None, typer.Argument(help="An engine bundle [default: one is built from --model]")] = None,
    model: Annotated[
        str, typer.Option(help="A pipeline folder, or built-in, sd15, sd15-inpaint, sd21-base")
    ] = models.BUILT_IN,
    backend: Annotated[str, typer.Option(help="Of the bundle built here.")] = "onnxruntime",
    precision: Annotated[str, typer.Option(help="Of the bundle built here.")] = "fp32",
    device: Annotated[str | None, typer.Option(help="cpu, cuda or tensorrt [default: the backend's own]")] = None,
    preset: Annotated[list[str] | None, typer.Option(help=f"{', '.join(PRESETS)}; repeatable [default: all]")] = None,
    images: Annotated[int, typer.Option(help="Images of one timed run.", min=1)] = 60,
    repeats: Annotated[int, typer.Option(help="Timed runs; the interval comes from their spread.", min=1)] = 5,
    growth: Annotated[int, typer.Option(help="Also time 1, 10 and 100 times this many images; 0 for not.", min=0)] = 4,
    total: Annotated[int, typer.Option(help="Images to extrapolate to.", min=1)] = measure.PAPER_IMAGES,
    work: Annotated[Path, typer.Option(help="Models, bundles and shards of the runs.")] = Path("runs/bench"),
    out: Annotated[Path | None, typer.Option(help="Folder for paper.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """How long the paper's 458,920 images take here, at its settings and at the fast preset.

    Each run goes through the whole sampler, files included: text-to-image, inpaint and inpaint-outpaint in equal
    parts (how the paper's images divide is not published).

    Example: bench paper bundle --images 60
    """
    work.mkdir(parents=True, exist_ok=True)
    engine = engines.load(bundle or models.bundle(models.find(model, work), backend, precision, work)[0], device=device)
    facts, presets = describe(engine.device), preset or list(PRESETS)
    run = measure.Runs(engine, work)
    for name in presets:
        run.plan(name, 1)  # refuses an unknown name before anything is timed
    with console.progress("paper", len(presets) * (repeats + 1) + (3 if growth else 0), "runs") as bar:

        def tick(note: str) -> None:
            bar(1, note)

        found = measure.rates(run, presets, images, repeats=repeats, tick=tick)
        found += [measure.hours(m, total) for m in found if m.name.startswith("paper/")]
        if growth:
            found += measure.growth(run, presets[-1], growth, tick=tick)
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
    record = Record(command="paper", settings=settings, facts=facts, measurements=found)
    deliver(record, out, as_json, f"{engine.spec.size} px, {engine.backend} {engine.precision}")
