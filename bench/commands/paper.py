"""`bench paper`: how long the paper's images take on this device."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

import engines
from bench import models
from bench import paper as measure
from bench.device import describe
from bench.record import Record, number, save, where
from gen.grid import PRESETS
from shards import console


def paper(
    bundle: Annotated[Path | None, typer.Argument(help="An engine bundle [default: one is built from --model]")] = None,
    model: Annotated[str, typer.Option(help="A pipeline folder, or built-in, sd15, sd15-inpaint, sd21-base")] =
        models.BUILT_IN,
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
    engine = _engine(bundle, model, backend, precision, device, work)
    facts, presets = describe(engine.device), preset or list(PRESETS)
    run = measure.Runs(engine, work)
    for name in presets:
        run.plan(name, 1)  # refuses an unknown name before anything is timed
    with console.progress("paper", len(presets) * (repeats + 1) + (3 if growth else 0), "runs") as bar:
        def tick(note: str) -> None:
            bar(1, note)

        found = measure.rates(run, presets, images, repeats=repeats, tick=tick)
        if growth:
            found += measure.growth(run, presets[-1], growth, tick=tick)
    settings = {"model": str(bundle or model), "size": engine.facts.size, "images": images, "total": total,
                "backend": engine.backend, "precision": engine.precision, "rows": engine.rows,
                "certified": engine.certified}
    record = Record(command="paper", settings=settings, facts=facts, measurements=found)
    if out:
        save(record, out)
    if as_json:
        console.print_json(record.model_dump(mode="json"))
    else:
        _show(record, total)


def _engine(bundle: Path | None, model: str, backend: str, precision: str, device: str | None, work: Path
            ) -> engines.Engine:
    if bundle is None:
        folder = models.find(model, work)
        bundle = models.bundle_path(folder, backend, precision, work)
        start = time.monotonic()
        if not (bundle / "bundle.json").exists():
            engines.build(folder, bundle, backend=backend, precision=precision,
                          allow_parity_failure=folder.name.startswith("random-"),
                          progress=lambda part: console.err.print(f"build: {part}", markup=False))
            console.err.print(f"built in {time.monotonic() - start:.0f} s")
    return engines.load(bundle, device=device)


def _show(record: Record, total: int) -> None:
    table = Table("preset", "images/s", f"hours for {total:,} images", "95 % interval", title_justify="left",
                  title=f"{record.settings['size']} px, {record.settings['backend']} {record.settings['precision']}")
    for rate in record.starting("paper/"):
        e = measure.estimate(rate, total)
        reach = f"{number(e.low)} to {number(e.high)}" if e.low == e.low else number(e.low)
        table.add_row(e.preset, number(rate.median), number(e.hours), reach)
    console.out.print(table)
    for m in record.starting("growth/"):
        console.out.print(f"{m.details['images']} images: {m.median:.1f} s, {number(float(m.details['images/s'] or 0))}"
                          " images/s", markup=False)
    console.out.print(where(record.facts), markup=False, soft_wrap=True)
