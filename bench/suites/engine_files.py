"""What ahead-of-time compilation costs: the export and each engine file, each in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from bench.measure.device import PeakMemory
from bench.measure.record import Measurement, lower
from dermforge.common import processes
from engines.backends.tensorrt import resolve_target
from engines.calls import TEXT_BATCH
from engines.compile.onnx_export import export
from engines.compile.tensorrt_build import compile_graph
from engines.manifest import graphs
from engines.pipeline_spec import PipelineSpec, read_spec


@dataclass(frozen=True)
class EngineFiles:
    """The engine files to compile.

    Attributes
    ----------
    model
        A pipeline folder.
    target
        GPU architecture of tensorrt-rtx, such as sm_89; no GPU is used.
    rows, vae_batch
        Static batches of the UNet and of the VAE.
    """

    model: Path
    target: str
    precision: str
    rows: int
    vae_batch: int

    @property
    def batches(self) -> dict[str, int]:
        vae = self.vae_batch
        texts = dict.fromkeys(self.spec.text_encoders, TEXT_BATCH)
        return texts | {self.spec.denoiser: self.rows, "vae_decoder": vae, "vae_encoder": vae}

    @cached_property
    def spec(self) -> PipelineSpec:
        return read_spec(self.model)

    @property
    def steps(self) -> int:
        """The export and one compilation for each graph."""
        return 1 + len(graphs(self.spec))


def measure(wanted: EngineFiles, work: Path, tick: Callable[[str], object]) -> list[Measurement]:
    """Seconds, peak memory and bytes written, of the export and of each of the four engine files.

    Parameters
    ----------
    work
        An empty folder for the graphs and engine files.
    """
    resolve_target("tensorrt-rtx", wanted.target)  # refused before the long part
    found = [_alone("export", _export, wanted.model, work, wanted.precision)]
    tick("export")
    for part, graph in graphs(wanted.spec).items():
        given = (work / graph, work / f"{part}.plan", wanted.target, wanted.batches[part])
        found.append(_alone(f"compile/{part}", _compile, *given, rows=wanted.batches[part]))
        tick(part)
    return found


def _alone(name: str, step: Callable[..., int], *given: Any, **details: int) -> Measurement:
    """One step in a new process, so that the peak memory is of this step and its libraries alone."""
    with processes.pool(1, spawn=True) as fresh:
        seconds, megabytes, written = fresh.submit(_measured, step, given).result()
    return lower(
        name, "s", [seconds], {**details, "memory MB": round(megabytes), "written MB": round(written / 1e6, 1)}
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


def _compile(graph: Path, out: Path, target: str, rows: int) -> int:
    return out.write_bytes(compile_graph(graph, resolve_target("tensorrt-rtx", target), rows))
