"""What ahead-of-time compilation costs: a pipeline exported and its plans built, each step in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from bench.measure.device import PeakMemory
from bench.measure.record import Measurement
from engines.backends.tensorrt import GRAPHS, resolve_target
from engines.compile.onnx_export import export
from engines.compile.tensorrt_build import compile_graph
from engines.engine import TEXT_BATCH
from engines.pipeline_spec import read_spec

Tick = Callable[[str], object]


def measure(
    model: Path, work: Path, target: str, precision: str, rows: int, vae_batch: int, tick: Tick
) -> list[Measurement]:
    """Seconds of the export and of each of the four plans, with the memory each took and the size of what it wrote.

    Parameters
    ----------
    model
        A pipeline folder.
    work
        An empty folder for the graphs and plans.
    target
        GPU architecture of tensorrt-rtx, such as sm_89; no GPU is used.
    rows, vae_batch
        The plans' static batches.
    """
    resolve_target("tensorrt-rtx", target)  # refused before the long part
    batches = {"text_encoder": TEXT_BATCH, "unet": rows, "vae_decoder": vae_batch, "vae_encoder": vae_batch}
    found = [_alone("export", _export, model, work, precision)]
    tick("export")
    for part, graph in GRAPHS.items():
        plan = work / f"{part}.plan"
        found.append(_alone(f"compile/{part}", _compile, work / graph, plan, target, batches[part], rows=batches[part]))
        tick(part)
    return found


def _alone(name: str, step: Callable[..., int], *given: Any, **details: int) -> Measurement:
    """One step in a fresh process, so that its peak of memory is its own (the libraries' included)."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        seconds, megabytes, written = fresh.submit(_measured, step, given).result()
    return Measurement(
        name=name,
        unit="s",
        better="lower",
        samples=[seconds],
        details={**details, "memory MB": round(megabytes), "written MB": round(written / 1e6, 1)},
    )


def _measured(step: Callable[..., int], given: tuple[Any, ...]) -> tuple[float, float, int]:
    with PeakMemory(torch.device("cpu")) as memory:
        start = time.monotonic()
        written = step(*given)
        took = time.monotonic() - start
    return took, memory.megabytes, written


def _export(model: Path, work: Path, precision: str) -> int:
    export(model, work, read_spec(model), precision)
    return sum(p.stat().st_size for p in work.rglob("*") if p.is_file())


def _compile(graph: Path, plan: Path, target: str, rows: int) -> int:
    return plan.write_bytes(compile_graph(graph, resolve_target("tensorrt-rtx", target), rows))
