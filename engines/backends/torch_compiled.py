"""Torch for speed: compiled when it first runs on CUDA and replayed as a CUDA graph, or engine files for a CPU."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath

import torch

from engines.backends import torch_aot
from engines.backends.compiled_call import FIRST_CALLS, CompiledCall, keep_kernels
from engines.backends.cuda_graph import captured
from engines.backends.torch_eager import Modules, bare_calls, eager, encoder_call, load_lowered, no_grad
from engines.bundle import Bundle
from engines.calls import Calls, Encoder, Lazy
from engines.errors import EngineError
from engines.manifest import USUAL_MODE, CompileMode
from engines.memory import require_on_gpu
from engines.models.tiny import SMALL
from engines.pipeline_spec import PipelineSpec
from engines.private_copy import private_copy
from engines.text import text_call

BATCHES_A_CORE = 2  # in one UNet call: between two calls every core waits


def open_calls(bundle: Bundle, rows: int, device: str | None = None, threads: int | None = None) -> Calls:
    """A bundle's torch weights: compiled on CUDA; on a CPU its engine files, or else operation by operation.

    Raises
    ------
    EngineError
        The bundle has no torch weights, a file was altered, or the device is not there or has too little memory.
    """
    if not bundle.find("weights", "torch"):
        raise EngineError(f"{bundle.folder} has no torch weights: build a bundle for the torch backend")
    files = bundle.engine_files("torch")
    place = torch_device(device or ("cpu" if files else None))
    if threads:
        torch.set_num_threads(threads)
    if place.type == "cuda":
        require_on_gpu(place, sum(a.bytes for a in bundle.find("weights", "torch")), str(bundle.folder))
    spec, precision = bundle.manifest.spec, bundle.manifest.precision
    where = PurePosixPath(spec.denoiser)  # that of a base lies in a folder of its own
    with _copied(bundle, where.name, "vae", SMALL) as folder:
        places = ((folder / where.parent, where.name), (folder, "vae"))
        networks = [load_lowered(of, part, precision, place) for of, part in places]
    modules = Modules({}, *networks)
    if place.type == "cuda":
        keep_kernels()
        return _reading(compiled(modules, spec, place, bundle.manifest.compile_mode or USUAL_MODE), bundle)
    calls = _reading(replace(eager(modules, spec, place), threads=torch.get_num_threads()), bundle)
    return torch_aot.with_engine_files(calls, bundle, rows) if files else calls


def _reading(calls: Calls, bundle: Bundle) -> Calls:
    """The same calls with text encoders that are opened when the first prompt is read."""
    spec = bundle.manifest.spec

    def opened(part: str) -> Lazy:
        def load() -> Encoder:
            with _copied(bundle, part) as folder:
                manifest = bundle.manifest
                network = load_lowered(folder, part, manifest.precision, calls.device, part in manifest.int8)
            return no_grad(encoder_call(spec, part, network, calls.device))

        return Lazy(load)

    texts = {part: opened(part) for part in spec.text_encoders}
    return replace(calls, text=text_call(spec, texts), opened=tuple(texts.values()), encoders=texts)


def _copied(bundle: Bundle, *parts: str) -> AbstractContextManager[Path]:
    """A private copy of a bundle with the weights of some parts alone."""
    files = bundle.manifest.artefacts
    return private_copy(
        bundle, [a for a in files if a.kind == "config" or (a.kind == "weights" and a.component in parts)]
    )


def static_rows(bundle: Bundle, device: str | None = None, threads: int | None = None) -> int:
    """Batch rows of one UNet call: the bundle's number; with engine files for a CPU, some batches of it a core."""
    if not bundle.engine_files("torch") or device not in (None, "cpu"):
        return bundle.manifest.rows
    return bundle.manifest.rows * BATCHES_A_CORE * (threads or torch.get_num_threads())


def for_speed(modules: Modules) -> Modules:
    """The same networks laid out for tensor cores: channels last, one product for queries, keys and values."""
    modules.denoiser.fuse_qkv_projections()
    for network in (modules.denoiser, modules.vae):
        network.to(memory_format=torch.channels_last)
    return modules


def compiled(modules: Modules, spec: PipelineSpec, device: torch.device, mode: CompileMode = USUAL_MODE) -> Calls:
    """The calls with the UNet and the decoder compiled, the UNet replayed as one CUDA graph.

    Each is compiled at its first call, for the one static shape that it has.
    """
    modules = for_speed(modules)
    bare = bare_calls(modules, spec, device)
    unet = CompiledCall(bare.denoise, mode)
    return replace(
        eager(modules, spec, device),
        denoise=_at_first(lambda *arrays: captured(unet, *arrays)),
        decode=CompiledCall(bare.decode, mode),
        recordable=unet if device.type == "cuda" else None,
    )


def _at_first(make: Callable[..., Callable[..., torch.Tensor]]) -> Callable[..., torch.Tensor]:
    """A call that its first arrays make ready; only one call of all threads is made ready at a time."""
    made: list[Callable[..., torch.Tensor]] = []

    def call(*arrays: torch.Tensor) -> torch.Tensor:
        with FIRST_CALLS if not made else nullcontext():
            if not made:
                made.append(make(*arrays))
        return made[0](*arrays)

    return call


def check_compiles(backend: str, device: str | None) -> None:
    """Refuse a mode of compiling where nothing is compiled when it is opened.

    Raises
    ------
    EngineError
        Another backend than torch, or no CUDA device.
    """
    if backend != "torch" or not compiles_on(device):
        where = backend if backend != "torch" else "torch on a CPU"
        raise EngineError(f"a mode of compiling is for the backend torch on CUDA, and this is {where}: leave it out")


def compiles_on(device: str | None) -> bool:
    """Whether torch compiles what it runs on the device of that name; without a name on the one it takes by itself."""
    return torch_device(device).type == "cuda"


def torch_device(name: str | None) -> torch.device:
    """The device of that name; without a name CUDA where there is a driver, else the CPU.

    Raises
    ------
    EngineError
        There is no such device.
    """
    if name is None:
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"unknown device {name!r}; expected cpu or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EngineError(f"device {name} was asked for, and torch sees no CUDA driver here: use cpu")
    return device
