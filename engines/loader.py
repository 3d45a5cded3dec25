"""Open a bundle with a backend."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from engines.backends import onnxruntime, tensorrt, torch_compiled
from engines.base_first import of_base, with_base
from engines.bundle import Bundle, find_record, read_bundle
from engines.engine import Engine
from engines.errors import EngineError
from engines.manifest import RECORDS, CompileMode, Record
from engines.memory import explained

BACKENDS = ("onnxruntime", "tensorrt", "tensorrt-rtx", "torch")
log = logging.getLogger("dermforge")


def load(
    bundle: str | Path,
    backend: str | None = None,
    *,
    device: str | None = None,
    rows: int | None = None,
    threads: int | None = None,
    compile_mode: CompileMode | None = None,
) -> Engine:
    """Open an engine bundle.

    Parameters
    ----------
    bundle
        The folder that `engines.build` or `gen build-engine` wrote.
    backend
        onnxruntime, tensorrt, tensorrt-rtx or torch; None for the one that the bundle was built for.
    device
        cpu, cuda (onnxruntime also: tensorrt); None for the backend's own.
    rows
        Batch rows of one UNet call; None for the number that the build chose.
    threads
        CPU threads; None for one a core.
    compile_mode
        How torch compiles on CUDA: default starts soonest, autotune times kernels for minutes and runs fastest; None
        for the bundle's own.

    Raises
    ------
    EngineError
        There is no bundle, a file was altered, added or taken away, or the bundle was built for another backend, device
        or GPU.

    Examples
    --------
    >>> import engines
    >>> engine = engines.load("bundle", backend="onnxruntime")
    >>> engine.spec.size, engine.spec.latent_channels
    (64, 4)
    """
    read = read_bundle(Path(bundle))
    read.verify(a for a in read.manifest.artefacts if a.kind in ("config", "graph"))  # the backend verifies the others
    for name in RECORDS:
        find_record(read, name, Record)
    if not read.manifest.certified:
        log.warning("%s FAILED its parity certificate (see parity.json): its images differ from the model's", bundle)
    return open_bundle(read, backend, device=device, rows=rows, threads=threads, compile_mode=compile_mode)


def open_bundle(
    bundle: Bundle,
    backend: str | None = None,
    *,
    device: str | None = None,
    rows: int | None = None,
    threads: int | None = None,
    compile_mode: CompileMode | None = None,
) -> Engine:
    """`load` for a bundle whose manifest is read already."""
    name = backend or bundle.manifest.backend
    if name not in BACKENDS:
        raise EngineError(f"unknown backend {name!r}; expected one of {', '.join(BACKENDS)}")
    if rows is not None and rows < 1:
        raise EngineError(f"rows must be 1 or more, got {rows}")
    if compile_mode is not None:
        torch_compiled.check_compiles(name, device)
        bundle = replace(bundle, manifest=bundle.manifest.model_copy(update={"compile_mode": compile_mode}))
    static = rows or (torch_compiled.static_rows(bundle, device, threads) if name == "torch" else bundle.manifest.rows)
    with explained(f"loading {bundle.folder}"):
        if name == "onnxruntime":
            calls = onnxruntime.open_calls(bundle, static, device, threads)
        elif name == "torch":
            calls = torch_compiled.open_calls(bundle, static, device, threads)
        else:
            calls = tensorrt.open_calls(bundle, static, name)
        engine = Engine(bundle, name, static, calls)
        if bundle.manifest.base is None:
            return engine
        if name == "onnxruntime":
            return with_base(engine, onnxruntime.open_calls(of_base(bundle), static, device, threads))
        return with_base(engine, torch_compiled.open_calls(of_base(bundle), static, device, threads))
