"""TensorRT in two flavours: what an engine file is compiled for, whether it may run here, and running it.

`tensorrt-rtx` compiles ahead of time for a named GPU architecture and needs no GPU; `tensorrt` compiles on the GPU that
will run the file. Both compile the same strongly typed graphs (see `engines.compile.tensorrt_build`).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from dermforge.common.extras import how_to_install
from engines.backends.cuda_graph import record
from engines.bundle import Bundle
from engines.calls import Calls
from engines.errors import EngineError
from engines.manifest import Artefact, graphs
from engines.memory import require_on_gpu
from engines.text import text_call

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx_bindings"}


@dataclass(frozen=True)
class GpuTarget:
    """What an engine file is compiled for; it runs nowhere else."""

    flavour: str
    sm: str
    builder: str
    gpu: str | None = None
    driver: str | None = None


def library(flavour: str) -> Any:
    """The flavour's Python module.

    Raises
    ------
    EngineError
        It is not installed.
    """
    try:
        return importlib.import_module(MODULES[flavour])
    except ImportError as error:
        raise EngineError(
            f"{flavour} is not installed ({error}): use another backend, or {how_to_install(flavour)}"
        ) from error


def resolve_target(flavour: str, target: str | None) -> GpuTarget:
    """The architecture to compile for: any that tensorrt-rtx knows; with tensorrt, this machine's GPU.

    Raises
    ------
    EngineError
        An unknown architecture, or none given and no GPU to take it from.
    """
    trt = library(flavour)
    builder = f"{flavour} {trt.__version__}"
    here = this_gpu()
    if flavour == "tensorrt":
        if here is None:
            raise EngineError(
                "tensorrt compiles on the GPU that will run the engine file, and no CUDA driver is here: "
                "to compile without a GPU, use the backend tensorrt-rtx and a target such as sm_89"
            )
        sm, gpu, driver = here
        if target not in (None, sm):
            raise EngineError(
                f"tensorrt compiles for the GPU it runs on ({gpu}, {sm}), not for {target}: leave out the target"
            )
        return GpuTarget(flavour, sm, builder, gpu, driver)
    known = {f"sm_{name[2:]}" for name in dir(trt.ComputeCapability) if name.startswith("SM")}
    named = ", ".join(sorted(known, key=lambda sm: int(sm[3:])))
    sm = target or (here[0] if here else "")
    if not sm:
        raise EngineError(f"no GPU here to compile for: give a target, one of {named}")
    if sm not in known:
        raise EngineError(
            f"{builder} cannot compile for {sm}; expected one of {named}; "
            "for other GPUs use the backend tensorrt on them, or onnxruntime or torch"
        )
    return GpuTarget(flavour, sm, builder)


def this_gpu() -> tuple[str, str, str] | None:
    """Architecture, name and CUDA driver version of the first GPU; None without a driver."""
    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability(0)
    driver = torch._C._cuda_getDriverVersion()  # type: ignore[attr-defined]
    return f"sm_{major}{minor}", torch.cuda.get_device_name(0), f"{driver // 1000}.{driver % 1000 // 10}"


def check_graphs(bundle: Bundle, files: Iterable[Artefact]) -> None:
    """Refuse engine files of other graphs, or of another size or precision, than their bundle holds.

    Raises
    ------
    EngineError
        Names the file, and what differs.
    """
    digests = {a.path: a.sha256 for a in bundle.find("graph")}
    manifest = bundle.manifest
    compiled_from = graphs(manifest.spec)
    for file in files:
        graph = compiled_from.get(str(file.component), "")
        wanted = {
            "graph": (file.graph_sha256, digests.get(graph)),
            "size": (file.size, manifest.spec.size),
            "precision": (file.precision, manifest.precision),
        }
        for what, (compiled, here) in wanted.items():
            if compiled != here:
                raise EngineError(
                    f"{file.path} was compiled for another {what}: {compiled}, and the bundle has {here}; "
                    "rebuild the bundle"
                )


def open_calls(bundle: Bundle, rows: int, flavour: str) -> Calls:
    """A bundle's engine files, ready to run on this GPU.

    Raises
    ------
    EngineError
        There are none, one was altered, or they were compiled for another GPU, driver or builder version.
    """
    files, spec = bundle.engine_files(flavour), bundle.manifest.spec
    unet = files.get(spec.denoiser)
    if unet is None:
        raise EngineError(f"{bundle.folder} has no {flavour} engine files: build a bundle for the backend {flavour}")
    if unet.rows != rows:
        raise EngineError(
            f"the engine files of {bundle.folder} are compiled for {unet.rows} rows, not {rows}: "
            "leave out rows, or rebuild the bundle"
        )
    bundle.verify(files.values())  # before the driver is asked; the bytes that are opened are hashed again
    check_graphs(bundle, files.values())
    trt = library(flavour)
    check_gpu(unet, f"{flavour} {trt.__version__}", this_gpu())
    device = torch.device("cuda:0")
    require_on_gpu(device, sum(file.bytes for file in files.values()), str(bundle.folder))
    with torch.cuda.device(device):
        runtime = trt.Runtime(quiet_log(trt))
        engines = {}
        for part, file in files.items():
            engines[part] = runtime.deserialize_cuda_engine(bundle.read(file))
            if engines[part] is None:
                raise EngineError(
                    f"{bundle.path(file)} was refused by {flavour} {trt.__version__}: rebuild the bundle here"
                )
        # On one stream the four run one after the other, so they share one block of scratch memory.
        scratch = torch.empty(
            max(e.device_memory_size_v2 for e in engines.values()) or 1, dtype=torch.uint8, device=device
        )
        runs = {p: TensorRTRunner(trt, engine, scratch, capture=p == spec.denoiser) for p, engine in engines.items()}
    denoiser, texts = runs[spec.denoiser], {part: runs[part].named for part in spec.text_encoders}
    return Calls(
        text_call(spec, texts),
        denoiser,
        runs["vae_decoder"],
        runs["vae_encoder"],
        device,
        recordable=denoiser.launch,
        encoders=texts,
    )


def can_run(bundle: Bundle) -> bool:
    """Whether this machine's GPU is of the architecture that a bundle's engine files were compiled for."""
    here, manifest = this_gpu(), bundle.manifest
    return here is not None and here[0] == bundle.engine_files(manifest.backend)[manifest.spec.denoiser].target


def check_gpu(file: Artefact, builder: str, here: tuple[str, str, str] | None) -> None:
    """Refuse an engine file that was compiled for something else, and say what differs."""
    if here is None:
        raise EngineError(
            f"this bundle's engine files need an NVIDIA GPU ({file.target}) and no CUDA driver is here: "
            "run it on such a machine, or load it with the backend onnxruntime"
        )
    sm, gpu, driver = here
    wanted = {"architecture": (file.target, sm), "builder": (file.builder, builder)}
    if file.gpu is not None:  # `tensorrt` chose its kernels by timing them on one GPU
        wanted["GPU"] = (file.gpu, gpu)
    if file.driver is not None:
        wanted["CUDA major version"] = (file.driver.split(".")[0], driver.split(".")[0])
    for what, (expected, got) in wanted.items():
        if expected != got:
            raise EngineError(
                f"the engine files are for another {what}: {expected}, and here is {got}; rebuild the bundle here"
            )


class TensorRTRunner:
    """A deserialised engine file over torch tensors, with fixed buffers bound by pointer.

    Parameters
    ----------
    capture
        Record its kernels as a CUDA graph at the first call, and replay that.
    """

    def __init__(self, trt: Any, engine: Any, scratch: torch.Tensor, *, capture: bool) -> None:
        self.engine, self.scratch = engine, scratch  # both must live as long as the context
        self.context = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        self.context.set_device_memory(scratch.data_ptr(), scratch.numel())
        self.inputs: list[torch.Tensor] = []
        self.outputs: dict[str, torch.Tensor] = {}
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            given = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            shape = tuple(engine.get_tensor_profile_shape(name, 0)[1] if given else self.context.get_tensor_shape(name))
            buffer = torch.zeros(shape, dtype=_torch_dtype(trt, engine.get_tensor_dtype(name)), device=scratch.device)
            if given:
                self.context.set_input_shape(name, shape)
                self.inputs.append(buffer)
            else:
                self.outputs[name] = buffer
            self.context.set_tensor_address(name, buffer.data_ptr())
        self.output = next(iter(self.outputs.values()))
        self.capture = capture
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *arrays: torch.Tensor) -> torch.Tensor:
        """Run on the current stream, without waiting. The next call overwrites the result."""
        if not self.capture:
            return self.launch(*arrays)
        for buffer, array in zip(self.inputs, arrays, strict=True):
            buffer.copy_(array, non_blocking=True)
        if self.graph is None:
            self.graph, _ = record(self._enqueue, self.scratch.device)
        self.graph.replay()
        return self.output

    def named(self, *arrays: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run on the current stream; all outputs by name. The next call overwrites them."""
        self(*arrays)
        return self.outputs

    def launch(self, *arrays: torch.Tensor) -> torch.Tensor:
        """Run without a CUDA graph, so that a larger graph can record the kernels."""
        for buffer, array in zip(self.inputs, arrays, strict=True):
            buffer.copy_(array, non_blocking=True)
        self._enqueue()
        return self.output

    def _enqueue(self) -> None:
        if not self.context.execute_async_v3(torch.cuda.current_stream(self.scratch.device).cuda_stream):
            raise EngineError("TensorRT could not run an engine file: see its log above")


def _torch_dtype(trt: Any, dtype: Any) -> torch.dtype:
    known = {trt.float32: torch.float32, trt.int64: torch.int64, trt.uint8: torch.uint8, trt.float16: torch.float16}
    return known[dtype]


def quiet_log(trt: Any) -> Any:
    """A TensorRT logger that keeps errors for our messages and prints nothing."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Log()


def one_line(text: str) -> str:
    return " ".join(text.split())[:300]
