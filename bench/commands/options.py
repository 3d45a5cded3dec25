"""Options that several benchmarks share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.measure import models
from bench.measure.record import FILES
from dermforge.common.output_folder import claim


def results_folder(out: Path | None) -> Path | None:
    """Refuse a folder with files and without results, before anything is measured."""
    if out is not None:
        claim(out, "a folder of benchmark results", FILES)
    return out


Bundle = typer.Argument(help="An engine bundle [default: one is built from --model]")
Model = Annotated[str, typer.Option(help=f"A pipeline folder, or {models.WORDS_FOR_MODELS}.")]
Backend = Annotated[
    str | None, typer.Option(help="Of the bundle built here [default: torch on CUDA, else onnxruntime]")
]
Precision = Annotated[str, typer.Option(help="Of the bundle built here.")]
BundleRows = Annotated[
    int | None, typer.Option(help="Batch rows of the bundle built here [default: the fastest, by a sweep]", min=1)
]
Compile = Annotated[
    str | None,
    typer.Option("--compile", help="Of torch on CUDA, peers too: default (starts soonest) or autotune (fastest)"),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or tensorrt [default: the backend's own]")]
Steps = Annotated[int, typer.Option(help="Denoising steps.", min=1)]
Guidance = Annotated[float, typer.Option(help="Guidance scale; the paper's is 3.")]
Repeats = Annotated[int, typer.Option(help="Timed runs after the warm-up.", min=1)]
Work = Annotated[Path, typer.Option(help="Random models and bundles built here are kept in it.")]
Out = Annotated[
    Path | None, typer.Option(callback=results_folder, help="Folder for the result, a JSON file of the command's name.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
