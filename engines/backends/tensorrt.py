"""TensorRT, two flavours behind one code path: what a plan is for, whether it may run here, and running it.

`tensorrt-rtx` compiles plans ahead of time for a named GPU architecture, with no GPU; `tensorrt` compiles for, and on,
the GPU that will run them. Both take the same strongly typed graphs (see `engines.compile.tensorrt_build`) and run
through these calls.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from engines.bundle import Artefact, Bundle
from engines.engine import Calls
from engines.errors import EngineError
from engines.memory import require_on_gpu

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx_bindings"}
EXTRAS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt-rtx"}
GRAPHS = {
    "text_encoder": "text_encoder/model.onnx",
    "unet": "unet/rows.onnx",
    "vae_decoder": "vae_decoder/images.onnx",
    "vae_encoder": "vae_encoder/images.onnx",
}


@dataclass(frozen=True)
class Target:
    """What a plan is compiled for: it runs nowhere else."""

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
            f"{flavour} is not installed ({error}): install dermforge[{EXTRAS[flavour]}], or use --backend onnxruntime"
        ) from error


def resolve_target(flavour: str, target: str | None) -> Target:
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
                "tensorrt compiles on the GPU that will run the plan, and no CUDA driver is here: "
                "use --backend tensorrt-rtx --target sm_89 to compile without a GPU"
            )
        sm, gpu, driver = here
        if target not in (None, sm):
            raise EngineError(
                f"tensorrt compiles for the GPU it runs on ({gpu}, {sm}), not for {target}: leave out --target"
            )
        return Target(flavour, sm, builder, gpu, driver)
    known = {f"sm_{name[2:]}" for name in dir(trt.ComputeCapability) if name.startswith("SM")}
    named = ", ".join(sorted(known, key=lambda sm: int(sm[3:])))
    sm = target or (here[0] if here else "")
    if not sm:
        raise EngineError(f"no GPU here to compile for: give --target, one of {named}")
    if sm not in known:
        raise EngineError(
            f"{builder} cannot compile for {sm}; expected one of {named}; "
            "for other GPUs use --backend tensorrt on them, or onnxruntime or torch"
        )
    return Target(flavour, sm, builder)


def this_gpu() -> tuple[str, str, str] | None:
    """Architecture, name and CUDA driver version of the first GPU; None without a driver."""
    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability(0)
    driver = torch._C._cuda_getDriverVersion()  # type: ignore[attr-defined]
    return f"sm_{major}{minor}", torch.cuda.get_device_name(0), f"{driver // 1000}.{driver % 1000 // 10}"


def check_graphs(bundle: Bundle, plans: Iterable[Artefact]) -> None:
    """Refuse plans that were compiled from other graphs, at another size or precision than their bundle holds.

    Raises
    ------
    EngineError
        Which plan, and which of these.
    """
    graphs = {a.path: a.sha256 for a in bundle.find("graph")}
    manifest = bundle.manifest
    for plan in plans:
        graph = GRAPHS[str(plan.component)]
        wanted = {
            "graph": (plan.graph_sha256, graphs.get(graph)),
            "size": (plan.size, manifest.spec.size),
            "precision": (plan.precision, manifest.precision),
        }
        for what, (compiled, here) in wanted.items():
            if compiled != here:
                raise EngineError(
                    f"{plan.path} was compiled for another {what}: {compiled}, and the bundle has {here}; "
                    "rebuild the bundle"
                )


def open_calls(bundle: Bundle, rows: int, flavour: str) -> Calls:
    """A bundle's plans, ready to run on this GPU.

    Raises
    ------
    EngineError
        No such plans, an altered plan, or another GPU, driver or builder version than they were compiled for.
    """
    plans = {str(a.component): a for a in bundle.find("plan", flavour)}
    unet = plans.get("unet")
    if unet is None:
        raise EngineError(f"{bundle.folder} has no {flavour} plans: build it with --backend {flavour}")
    if unet.rows != rows:
        raise EngineError(
            f"the plans of {bundle.folder} are compiled for {unet.rows} rows, not {rows}: leave out rows or rebuild"
        )
    bundle.verify(plans.values())
    check_graphs(bundle, plans.values())
    trt = library(flavour)
    check_gpu(unet, f"{flavour} {trt.__version__}", this_gpu())
    device = torch.device("cuda:0")
    require_on_gpu(device, sum(plan.bytes for plan in plans.values()), str(bundle.folder))
    with torch.cuda.device(device):
        runtime = trt.Runtime(quiet_log(trt))
        engines = {}
        for part, artefact in plans.items():
            engines[part] = runtime.deserialize_cuda_engine(bundle.path(artefact).read_bytes())
            if engines[part] is None:
                raise EngineError(
                    f"{bundle.path(artefact)} was refused by {flavour} {trt.__version__}: rebuild the bundle here"
                )
        # The four never run at once on one stream, so they share one block of scratch memory.
        scratch = torch.empty(
            max(e.device_memory_size_v2 for e in engines.values()) or 1, dtype=torch.uint8, device=device
        )
        runs = {part: Plan(trt, engine, scratch, capture=part == "unet") for part, engine in engines.items()}
    return Calls(
        runs["text_encoder"],
        runs["unet"],
        runs["vae_decoder"],
        runs["vae_encoder"],
        device,
        recordable=runs["unet"].launch,
    )


def can_run(bundle: Bundle) -> bool:
    """Whether this machine's GPU is the one that a bundle's plans were compiled for."""
    here = this_gpu()
    return here is not None and here[0] == bundle.find("plan", bundle.manifest.backend)[0].target


def check_gpu(plan: Artefact, builder: str, here: tuple[str, str, str] | None) -> None:
    """Refuse a plan that was compiled for something else, and say which part differs."""
    if here is None:
        raise EngineError(
            f"this bundle's plans need an NVIDIA GPU ({plan.target}) and no CUDA driver is here: "
            "run it on such a machine, or load it with --backend onnxruntime"
        )
    sm, gpu, driver = here
    wanted = {"architecture": (plan.target, sm), "builder": (plan.builder, builder)}
    if plan.gpu is not None:  # `tensorrt` chose its kernels by timing them on one GPU
        wanted["GPU"] = (plan.gpu, gpu)
    if plan.driver is not None:
        wanted["CUDA major version"] = (plan.driver.split(".")[0], driver.split(".")[0])
    for what, (expected, got) in wanted.items():
        if expected != got:
            raise EngineError(
                f"the plans are for another {what}: {expected}, and here is {got}; rebuild the bundle here"
            )


class Plan:
    """A deserialized plan over torch tensors: fixed buffers bound by pointer, replayed as a CUDA graph where asked."""

    def __init__(self, trt: Any, engine: Any, scratch: torch.Tensor, *, capture: bool) -> None:
        self.engine, self.scratch = engine, scratch
        self.context = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        self.context.set_device_memory(scratch.data_ptr(), scratch.numel())
        self.inputs: list[torch.Tensor] = []
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            given = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            shape = tuple(engine.get_tensor_profile_shape(name, 0)[1] if given else self.context.get_tensor_shape(name))
            buffer = torch.zeros(shape, dtype=_torch_dtype(trt, engine.get_tensor_dtype(name)), device=scratch.device)
            if given:
                self.context.set_input_shape(name, shape)
                self.inputs.append(buffer)
            else:
                self.output = buffer
            self.context.set_tensor_address(name, buffer.data_ptr())
        self.capture = capture
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *arrays: torch.Tensor) -> torch.Tensor:
        """Run on the current stream, without waiting; the result is a buffer that the next call overwrites."""
        if not self.capture:
            return self.launch(*arrays)
        for buffer, array in zip(self.inputs, arrays, strict=True):
            buffer.copy_(array, non_blocking=True)
        self.graph = self.graph or self._capture()
        self.graph.replay()
        return self.output

    def launch(self, *arrays: torch.Tensor) -> torch.Tensor:
        """`__call__` without a graph of its own, so that a larger one may record it."""
        for buffer, array in zip(self.inputs, arrays, strict=True):
            buffer.copy_(array, non_blocking=True)
        self._enqueue()
        return self.output

    def _enqueue(self) -> None:
        if not self.context.execute_async_v3(torch.cuda.current_stream(self.scratch.device).cuda_stream):
            raise EngineError("TensorRT could not run a plan: see its log above")

    def _capture(self) -> torch.cuda.CUDAGraph:
        """One run as a graph; a first run lets TensorRT finish what it does lazily."""
        side = torch.cuda.Stream(self.scratch.device)
        side.wait_stream(torch.cuda.current_stream(self.scratch.device))
        with torch.cuda.stream(side):
            self._enqueue()
        side.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            self._enqueue()
        return graph


def _torch_dtype(trt: Any, dtype: Any) -> torch.dtype:
    known = {trt.float32: torch.float32, trt.int64: torch.int64, trt.uint8: torch.uint8, trt.float16: torch.float16}
    return known[dtype]


def quiet_log(trt: Any) -> Any:
    """A logger that keeps errors for our message instead of printing them."""

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Log()


def one_line(text: str) -> str:
    return " ".join(text.split())[:300]
