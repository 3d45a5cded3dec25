"""`bench plans`: time, memory and size of plans that are compiled ahead of time, without a GPU."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer

from bench.measure import models
from bench.measure.device import describe
from bench.measure.record import Record, deliver
from bench.suites import engine_files as measure
from dermforge.common import console
from dermforge.common.errors import UserError

PRECISIONS = ("fp32", "fp16", "bf16")


def plans(
    model: Annotated[
        str, typer.Option(help="A pipeline folder, or built-in, sd15, sd15-inpaint, sd21-base")
    ] = models.BUILT_IN,
    target: Annotated[str, typer.Option(help="GPU architecture of the plans.")] = "sm_89",
    precision: Annotated[str, typer.Option(help="fp32, fp16 or bf16")] = "fp16",
    rows: Annotated[int, typer.Option(help="Rows of one UNet call.", min=1)] = 16,
    vae_batch: Annotated[int, typer.Option(help="Images of one decoder or encoder call.", min=1)] = 4,
    work: Annotated[Path, typer.Option(help="Random models are kept in it.")] = Path("runs/bench"),
    out: Annotated[Path | None, typer.Option(help="Folder for plans.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Export a pipeline and compile its TensorRT-RTX plans for a GPU that need not be here; nothing is certified.

    Example: bench plans --model sd15 --target sm_89 --precision fp16 --out results
    """
    if precision not in PRECISIONS:  # fp8 would be the fp16 graphs that a calibration, not made here, starts from
        raise UserError(
            f"plans are measured in {', '.join(PRECISIONS)}, got {precision!r}; "
            "plans in fp8 are calibrated first: build them with `gen build-engine --precision fp8`"
        )
    folder = models.find(model, work)
    facts = describe(torch.device("cpu"))
    work.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=work) as scratch,
        console.progress("plans", 1 + len(measure.GRAPHS), "parts") as bar,
    ):
        found = measure.measure(folder, Path(scratch), target, precision, rows, vae_batch, lambda note: bar(1, note))
    record = Record(
        command="plans",
        facts=facts,
        measurements=found,
        settings={"model": model, "target": target, "precision": precision},
    )
    deliver(record, out, as_json, f"{model} for {target} in {precision}, compiled without a GPU")
