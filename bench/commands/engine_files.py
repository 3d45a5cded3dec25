"""`bench engine-files`: time, memory and size of engine files that are compiled ahead of time, without a GPU."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options
from bench.commands.show import deliver, note
from bench.measure import models
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord
from dermforge.common import console
from dermforge.common.errors import UserError

PRECISIONS = ("fp32", "fp16", "bf16")


def engine_files(
    model: options.Model = models.BUILT_IN,
    target: Annotated[str, typer.Option(help="GPU architecture to compile for.")] = "sm_89",
    precision: Annotated[str, typer.Option(help="fp32, fp16 or bf16")] = "fp16",
    rows: Annotated[int, typer.Option(help="Batch rows of one denoiser call.", min=1)] = 16,
    vae_batch: Annotated[int, typer.Option(help="Images of one decoder or encoder call.", min=1)] = 4,
    work: options.Work = models.WORK,
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Export a pipeline and compile its TensorRT-RTX engine files for a GPU that need not be here.

    Nothing is certified: only time, memory and size are measured.

    Example: bench engine-files --model sd15 --target sm_89 --precision fp16 --out results
    """
    import torch

    from bench.suites.engine_files import EngineFiles, measure

    if precision not in PRECISIONS:  # fp8 would be the fp16 graphs that a calibration, not made here, starts from
        raise UserError(
            f"expected a precision of {', '.join(PRECISIONS)}, got {precision!r}; "
            "fp8 needs a calibration first: build it with `gen build-engine --precision fp8`"
        )
    folder = models.find(model, work, note)
    facts = describe(torch.device("cpu"))
    work.mkdir(parents=True, exist_ok=True)
    wanted = EngineFiles(folder, target, precision, rows, vae_batch)
    with (
        tempfile.TemporaryDirectory(dir=work) as scratch,
        console.progress("engine files", wanted.steps, "parts") as bar,
    ):
        found = measure(wanted, Path(scratch), lambda note: bar(1, note))
    record = BenchmarkRecord(
        command="engine-files",
        facts=facts,
        measurements=found,
        settings={"model": model, "target": target, "precision": precision},
    )
    deliver(record, out, as_json, f"{model} for {target} in {precision}, compiled without a GPU")
