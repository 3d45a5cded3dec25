"""`bench builtin`: the phantoms and the built-in pipeline compared with their bars."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

import engines
from bench.commands import options
from bench.commands.show import number
from bench.measure.bundles import Wanted
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord, Measurement, save
from dermforge.common import console
from dermforge.common.errors import CheckFailed, UserError
from engines.pipeline_spec import model_digest
from gen.builtin import pipeline_folder
from gen.plan.plan import parse_interval

if TYPE_CHECKING:
    from bench.suites.builtin import Bar


def builtin(
    model: Annotated[Path | None, typer.Option(help="A pipeline folder; default: the committed one.")] = None,
    work: Annotated[Path, typer.Option(help="Folder that keeps drawn images and trained judges.")] = Path(
        "runs/bench-builtin"
    ),
    per_cell: Annotated[int, typer.Option(help="Images generated per class and tone group.")] = 20,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 25,
    guidance: Annotated[float, typer.Option(help="Guidance scale; the paper's is 3.")] = 2.0,
    guidance_interval: Annotated[
        str, typer.Option(help="Noise levels LOW:HIGH that are guided; '' for all.")
    ] = "0.1:1.5",
    seed: Annotated[int, typer.Option(help="Of the generated images.")] = 0,
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure the phantoms (tone, difficulty) and the built-in pipeline (reconstruction, class, tone, copies).

    Takes about ten minutes on two cores the first time; exit status 1 when a bar is missed.

    Example: bench builtin --per-cell 20 --out results
    """
    import torch

    from bench.suites.builtin import GeneratedSet, phantom_bars, pipeline_bars

    folder = model or pipeline_folder()
    if not (folder / "model_index.json").exists():
        raise UserError(f"no model_index.json in {folder}, so it is no pipeline folder; `gen train-builtin` makes one")
    work.mkdir(parents=True, exist_ok=True)
    facts = describe(torch.device("cpu"))
    bars = phantom_bars(work)
    engine = engines.load(Wanted("onnxruntime").build(folder, work)[0])
    wanted = GeneratedSet(
        per_cell, steps, guidance, seed, parse_interval(guidance_interval) if guidance_interval else None
    )
    with console.progress("generate", wanted.n) as tick:
        bars += pipeline_bars(engine, work, wanted, tick)
    if out:
        settings = {
            "model": model_digest(folder),
            "per cell": per_cell,
            "steps": steps,
            "guidance": guidance,
            "guidance interval": guidance_interval,
            "seed": seed,
        }
        save(
            BenchmarkRecord(
                command="builtin", settings=settings, facts=facts, measurements=[_measured(b) for b in bars]
            ),
            out,
        )
    if as_json:
        console.print_json([{"name": b.name, "value": b.value, "wanted": b.wanted, "passed": b.passed} for b in bars])
    else:
        table = Table("measured", "value", "bar", "")
        for bar in bars:
            table.add_row(bar.name, number(bar.value), bar.wanted, _verdict(bar))
        console.out.print(table)
    missed = [bar.name for bar in bars if not bar.passed]
    if missed:
        raise CheckFailed(f"{len(missed)} of {len(bars)} bars missed: {'; '.join(missed)}")


def _measured(bar: Bar) -> Measurement:
    return Measurement(
        name=bar.name,
        unit="",
        samples=[] if math.isnan(bar.value) else [bar.value],
        details={"bar": bar.wanted or None, "passed": bar.passed if bar.wanted else None},
    )


def _verdict(bar: Bar) -> str | Text:
    if not bar.wanted:
        return ""
    return Text("met", "green") if bar.passed else Text("missed", "red")
