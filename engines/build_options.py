"""What a bundle is built for. What cannot be is refused before a model is read."""

from __future__ import annotations

from engines.backends import tensorrt, torch_compiled
from engines.backends.tensorrt import GpuTarget
from engines.certificate import THRESHOLDS
from engines.compile import fp8, torch_build
from engines.errors import EngineError
from engines.loader import BACKENDS
from engines.manifest import CompileMode


def check_options(
    backend: str = "onnxruntime",
    precision: str = "fp32",
    target: str | None = None,
    rows: int | None = None,
    compile_mode: CompileMode | None = None,
    refitting: bool = False,
    with_base: bool = False,
) -> GpuTarget | None:
    """The GPU that engine files are compiled for; None without such files. `engines.build` says what the options are.

    Raises
    ------
    EngineError
        An option that is unknown, that does not go with another, or that this machine cannot do.
    """
    _check_known(backend, precision, rows)
    on_gpu = backend.startswith("tensorrt")
    if target == "cpu" and backend == "torch":
        torch_build.require_compiler()
    elif target and not on_gpu:
        raise EngineError(
            f"a target ({target}) is for the tensorrt backends (and cpu for torch); {backend} runs where it is loaded"
        )
    if with_base and (on_gpu or target or precision == "fp8"):
        raise EngineError(
            "a bundle with a base is built for onnxruntime or torch, without a target and not in fp8; got "
            f"{backend}{f' for {target}' if target else ''} in {precision}"
        )
    if compile_mode is not None:
        torch_compiled.check_compiles(backend, target)
    gpu = tensorrt.resolve_target(backend, target) if on_gpu else None
    if precision == "fp8":
        fp8.check_target(backend, gpu)
    if refitting:
        _check_refit(backend, precision)
    return gpu


def _check_known(backend: str, precision: str, rows: int | None) -> None:
    if backend not in BACKENDS:
        raise EngineError(f"unknown backend {backend!r}; expected one of {', '.join(BACKENDS)}")
    if precision not in THRESHOLDS:
        raise EngineError(f"unknown precision {precision!r}; expected one of {', '.join(THRESHOLDS)}")
    if rows is not None and rows < 1:
        raise EngineError(f"rows must be 1 or more, got {rows}")


def _check_refit(backend: str, precision: str) -> None:
    if not backend.startswith("tensorrt"):
        raise EngineError(f"refitting is for the tensorrt backends; {backend} opens new weights as fast as old ones")
    if precision == "fp8":
        raise EngineError("fp8 engine files are calibrated for their weights: build again without refitting")
    if tensorrt.this_gpu() is None:  # TensorRT-RTX 1.7 fails deep inside without one
        raise EngineError(f"{backend} builds refittable engine files on a GPU only, and none is here")
