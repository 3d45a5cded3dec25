"""The bundles that benchmarks build, keep and open."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import engines
from bench.measure.models import Say
from dermforge.common.errors import UserError
from engines.bundle import read_bundle
from engines.errors import EngineError
from engines.manifest import CompileMode
from engines.pipeline_spec import model_digest

if TYPE_CHECKING:
    from engines.engine import Engine


@dataclass(frozen=True)
class Wanted:
    """What to build where no bundle is given, and how to open it.

    Attributes
    ----------
    rows
        Batch rows of one UNet call; None to find the fastest number, which opens an engine for each that it tries.
    compile_mode
        How torch compiles on CUDA; other backends have none.
    device
        None for the backend's own.
    """

    backend: str
    precision: str = "fp32"
    rows: int | None = None
    compile_mode: CompileMode | None = None
    device: str | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on a GPU here; ONNX Runtime does so only where it is asked to."""
        import torch

        if self.backend == "onnxruntime" or self.device is not None:
            return self.device not in (None, "cpu")
        return torch.cuda.is_available()

    @property
    def mode(self) -> CompileMode | None:
        return self.compile_mode if self.backend == "torch" else None

    def build(
        self, model: Path, work: Path, *, rebuild: bool = False, may_fail: bool = False, say: Say = lambda _: None
    ) -> tuple[Path, float | None]:
        """The bundle of a pipeline folder that the benchmarks keep; one of random weights may fail its certificate.

        Parameters
        ----------
        rebuild
            Build the bundle even if `work` holds one of these weights.
        may_fail
            Keep it even if it fails its certificate.
        say
            Called with each part as it is built.

        Returns
        -------
        The bundle's folder, and the seconds that building it took; None if nothing was built.
        """
        words = [self.backend, self.precision, *([self.mode] if self.mode else [])]
        folder = work / "-".join(["bundle", model.name, *words, *([f"{self.rows}-rows"] if self.rows else [])])
        if not rebuild and _is_of(folder, model):
            return folder, None
        start = time.perf_counter()
        engines.build(
            model,
            folder,
            backend=self.backend,
            precision=self.precision,
            rows=self.rows,
            compile_mode=self.mode,
            allow_parity_failure=may_fail or "random-" in model.name,
            overwrite=True,
            progress=lambda part, so_far="": say(f"build {self.backend} {self.precision}: {part} {so_far}".rstrip()),
        )
        return folder, time.perf_counter() - start

    def open(self, folder: Path) -> Engine:
        """The engine of a bundle."""
        return engines.load(folder, device=self.device, compile_mode=self.mode)


def usual_backend() -> str:
    """What a benchmark builds if nothing else is asked for: on a GPU not what would run on the CPU beside it."""
    import torch

    return "torch" if torch.cuda.is_available() else "onnxruntime"


def backend_of(folder: Path) -> str:
    """The backend that a bundle was built for."""
    return read_bundle(folder).manifest.backend


def check_modes(wanted: Sequence[Wanted]) -> None:
    """Refuse a mode of compiling that nothing would use.

    Raises
    ------
    UserError
        Before anything is built.
    """
    if any(one.compile_mode for one in wanted) and not any(one.mode and one.on_gpu for one in wanted):
        raise UserError("--compile is for the backend torch on CUDA, and no engine here is one: leave it out")


def _is_of(folder: Path, model: Path) -> bool:
    try:
        return read_bundle(folder).manifest.model_digest == model_digest(model)
    except EngineError:
        return False
