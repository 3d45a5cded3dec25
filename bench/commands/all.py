"""`bench all`: every benchmark into one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options
from bench.commands.show import note, show
from bench.measure import models
from bench.measure.bundles import Wanted, check_modes
from bench.measure.record import records
from bench.suites.run_all import PARTS, run
from dermforge.common import console
from dermforge.common.errors import CheckFailed, UserError

#: Batch rows of bundles that only show that a benchmark runs: to find the fastest number takes an engine for each.
QUICK_ROWS = 4
#: Sizes so small that they only show that a benchmark runs.
SMALL = {
    "roofline": ["--side", "128"],
    "engine": ["--images", "2", "--steps", "2", "--peer", "diffusers", "--peer-batch", "2"],
    "sample": ["--images", "2", "--steps", "2", "--peer", "diffusers", "--batch", "2"],
    "paper": ["--images", "3", "--growth", "0", "--preset", "fast"],
    "shards": ["--n", "64", "--size", "1000"],
    "train": ["--model", "test_resnet", "--steps", "2"],
    "study": ["--arms", "14"],
}


@dataclass(frozen=True)
class EngineChoice:
    """The engines to measure; `sample` and `paper` use the first bundle that `engine` builds.

    Attributes
    ----------
    rows
        Batch rows of one denoiser call; None to find the fastest number and to measure others.
    compile_mode
        Of torch on CUDA, peers too; None for the usual one.
    """

    model: str
    backends: list[str]
    precisions: list[str]
    work: Path
    steps: int
    rows: int | None = None
    compile_mode: str | None = None

    def options(self, repeats: int, quick: bool) -> dict[str, list[str]]:
        """The options of each benchmark."""
        every = ["--repeats", str(1 if quick else repeats)]
        first = ["--backend", self.backends[0], "--precision", self.precisions[0]]
        built = ["--model", self.model, "--work", str(self.work)]
        rows = self.rows or (QUICK_ROWS if quick else None)
        built += ["--bundle-rows", str(rows)] if rows else []
        swept = ["--rows", str(rows)] if rows else []
        each = [word for backend in self.backends for word in ("--backend", backend)]
        each += [word for precision in self.precisions for word in ("--precision", precision)]
        own = {
            "engine": [*built, *each, *self.compiled(self.backends), "--steps", str(self.steps), *swept],
            "sample": [*built, *first, *self.compiled(self.backends[:1])],
            "paper": [*built, *first, *self.compiled(self.backends[:1])],
        }
        return {name: [*own.get(name, []), *every, *(SMALL[name] if quick else [])] for name in PARTS}

    def compiled(self, backends: Sequence[str]) -> list[str]:
        """The mode of compiling, where one of these backends has one."""
        return ["--compile", self.compile_mode] if self.compile_mode and "torch" in backends else []


def all_benchmarks(
    out: Annotated[
        Path, typer.Option(callback=options.results_folder, help="Folder for the results and pictures.")
    ] = Path("results"),
    model: Annotated[
        str | None,
        typer.Option(help=f"A pipeline folder, or {models.WORDS_FOR_MODELS} [default: sd15 on CUDA, else built-in]"),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="repeatable [default: torch on CUDA, and tensorrt where it is installed; else onnxruntime]"),
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="repeatable [default: fp16 and bf16 on CUDA, else fp32]")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help=f"{', '.join(PARTS)}; repeatable")] = None,
    rows: Annotated[
        int | None,
        typer.Option(help="Batch rows of one denoiser call, without a sweep [default: the fastest of several]", min=1),
    ] = None,
    compile_mode: options.Compile = None,
    repeats: Annotated[int, typer.Option(help="Timed runs of each.", min=1)] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny sizes, to check that everything runs.")] = False,
    work: options.Work = models.WORK,
) -> None:
    """Run every benchmark on this machine: one JSON each, pictures, and what failed.

    Run it on a machine that does nothing else. On CUDA it measures Stable Diffusion 1.5's shapes with random weights:
    engines at the paper's 50 steps and the sampler at 20. Nothing is downloaded.

    Example: bench all --out results --quick
    """
    import torch

    from bench.measure import plots
    from engines.backends.compiled_call import parse_mode

    if unknown := [name for name in only or [] if name not in PARTS]:
        raise UserError(f"unknown benchmark {unknown[0]!r}; expected {', '.join(PARTS)}")
    cuda, mode = torch.cuda.is_available(), parse_mode(compile_mode)
    usual = ["torch", *(["tensorrt"] if find_spec("tensorrt") else [])] if cuda else ["onnxruntime"]
    chosen = EngineChoice(
        model or ("sd15" if cuda else models.BUILT_IN),
        backend or usual,
        precision or (["fp16", "bf16"] if cuda else ["fp32"]),
        work,
        50 if cuda else 20,
        rows,
        mode or ("default" if quick and cuda else None),
    )
    check_modes([Wanted(kind, compile_mode=mode) for kind in chosen.backends])
    words = chosen.options(repeats, quick)
    parts = only or PARTS
    errors = {
        name: run(name, words[name], out, note) for name in console.track(parts, "benchmarks", len(parts), "parts")
    }
    failed = [f"{name}: {error}" for name, error in errors.items() if error]
    if len(failed) < len(errors):
        results = records(out)
        for record in results:
            show(record, record.command)
        for path in plots.write(results, out):
            console.say(str(path))
    if failed:
        raise CheckFailed("; ".join(failed))
