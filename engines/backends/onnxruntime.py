"""ONNX Runtime: the CPU by default, CUDA or TensorRT providers where they are; torch tensors bound by pointer."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from dermforge.common import one_onnxruntime
from engines.bundle import Bundle
from engines.cache import cache_folder
from engines.calls import TEXT_BATCH, Calls, Lazy
from engines.errors import EngineError
from engines.manifest import Artefact
from engines.memory import require_on_gpu
from engines.private_copy import private_copy
from engines.text import text_call

NUMPY = {torch.float32: np.float32, torch.int64: np.int64, torch.uint8: np.uint8}
TORCH = {"tensor(float)": torch.float32, "tensor(int64)": torch.int64, "tensor(uint8)": torch.uint8}
_ORT = ort.capi.onnxruntime_pybind11_state
ERRORS = (
    _ORT.Fail,
    _ORT.InvalidGraph,
    _ORT.InvalidProtobuf,
    _ORT.NotImplemented,
    _ORT.RuntimeException,
    _ORT.EPFail,
    _ORT.InvalidArgument,
    _ORT.NoSuchFile,
)
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
ON_DEVICE = {PROVIDERS["tensorrt"]: (PROVIDERS["cuda"],)}  # nodes that TensorRT does not take stay on the GPU
# "use_tf32" is on unless it is set; float32 means all 24 bits here, as `engines.backends.torch_eager` says.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "EXHAUSTIVE", "prefer_nhwc": "1", "use_tf32": "0"}
SMALL = 200_000_000  # bytes of weights up to which every core can read all of them
# The operations that take time: a device's own provider must run them. Shape arithmetic may stay on the CPU.
HEAVY = ("Attention", "Conv", "Gemm", "GroupNormalization", "LayerNormalization", "MatMul", "Softmax")


@dataclass(frozen=True)
class Place:
    """Where a bundle's graphs run.

    Attributes
    ----------
    stream
        The CUDA stream of all sessions. Torch's default stream has the handle 0, which ONNX Runtime takes for "none".
    options
        Options of the provider, by ONNX Runtime's names.
    """

    provider: str
    device: torch.device
    threads: int
    stream: torch.cuda.Stream | None = None
    options: dict[str, str] = field(default_factory=dict)


class Session:
    """One graph at one static number of batch rows, with its output buffer; inputs are bound by pointer.

    On a CPU the batch rows of a small graph are divided among the cores: each core runs its own rows and does not wait
    for the others after every operation. The weights are then read once for each share, so the cores work together on
    a large graph.
    """

    def __init__(self, path: Path, rows: int, place: Place) -> None:
        self.device, self.stream = place.device, place.stream
        cores = place.threads
        small = weight_bytes(path) <= SMALL
        self.shares = shares(rows, cores) if place.provider == "cpu" and small else 1
        self.session = ort.InferenceSession(
            str(path), _options(rows // self.shares, cores // self.shares), providers=_providers(place)
        )
        check_assignment(self.session, PROVIDERS[place.provider], path.name)
        self.run_options = ort.RunOptions()
        if self.stream is not None:  # the stream keeps the order: the CPU need not wait for a call
            self.run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self.inputs = [(i.name, TORCH[i.type]) for i in self.session.get_inputs()]
        self.bindings = [self.session.io_binding() for _ in range(self.shares)]
        self.outputs: dict[str, torch.Tensor] = {}
        for output in self.session.get_outputs():
            shape = [rows if i == 0 else d for i, d in enumerate(output.shape)]
            buffer = torch.empty(shape, dtype=TORCH[output.type], device=self.device)
            self.outputs[output.name] = buffer
            for binding, part in zip(self.bindings, buffer.chunk(self.shares), strict=True):
                self._bind(binding.bind_output, output.name, part)
        self.others = ThreadPoolExecutor(self.shares - 1, "share") if self.shares > 1 else None

    def __call__(self, *arrays: torch.Tensor) -> torch.Tensor:
        """Run; gives the first output. The next call overwrites the result."""
        return next(iter(self.run(*arrays).values()))

    def run(self, *arrays: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run; gives all outputs by name. The next call overwrites them."""
        held = [a.to(dtype).contiguous() for a, (_, dtype) in zip(arrays, self.inputs, strict=True)]
        for (name, _), array in zip(self.inputs, held, strict=True):
            for binding, part in zip(self.bindings, array.chunk(self.shares), strict=True):
                self._bind(binding.bind_input, name, part)
        if self.stream is None:
            waiting = [self.others.submit(self._run, b) for b in self.bindings[1:]] if self.others else []
            self._run(self.bindings[0])
            for share in waiting:
                share.result()
            return self.outputs
        caller = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(caller)
        self._run(self.bindings[0])
        caller.wait_stream(self.stream)
        return self.outputs

    def _run(self, binding: ort.IOBinding) -> None:
        try:
            self.session.run_with_iobinding(binding, self.run_options)
        except ERRORS as error:
            raise EngineError(f"ONNX Runtime could not run a batch: {_one_line(error)}; try fewer rows") from error

    def _bind(self, bind: object, name: str, array: torch.Tensor) -> None:
        assert callable(bind)
        bind(name, self.device.type, self.device.index or 0, NUMPY[array.dtype], tuple(array.shape), array.data_ptr())


def shares(rows: int, cores: int) -> int:
    """The number of equal shares that batch rows are cut into: at most one per core; each gets equally many cores."""
    return next(n for n in range(min(rows, cores), 0, -1) if rows % n == 0 and cores % n == 0)


def weight_bytes(graph: Path) -> int:
    """Bytes of a graph's weights: of its own file, or of the largest weight file in its folder."""
    return max(p.stat().st_size for p in (graph, *graph.parent.glob("*.data")))


def graph_files(bundle: Bundle, name: str) -> list[Artefact]:
    """A graph, and the weight files beside it that it may name."""
    place = PurePosixPath(name).parent
    return [
        a
        for a in bundle.manifest.artefacts
        if a.path == name or (a.kind == "weights" and PurePosixPath(a.path).parent == place)
    ]


def open_calls(bundle: Bundle, rows: int, device: str | None = None, threads: int | None = None) -> Calls:
    """Sessions over a bundle's ONNX graphs.

    Parameters
    ----------
    rows
        Batch rows of one UNet call.
    device
        cpu (default), cuda or tensorrt: ONNX Runtime's provider of that name.
    threads
        CPU threads; None for one a core that this process may use.
    """
    if wrong := one_onnxruntime.conflict():
        raise EngineError(wrong)
    provider = device or "cpu"
    if provider not in PROVIDERS:
        raise EngineError(f"unknown device {provider!r} for onnxruntime; expected one of {', '.join(PROVIDERS)}")
    if PROVIDERS[provider] not in ort.get_available_providers():
        raise EngineError(
            f"this ONNX Runtime has no {PROVIDERS[provider]} (it has {', '.join(ort.get_available_providers())}): "
            f"{one_onnxruntime.FOR_CUDA} on a machine with a GPU, or use the cpu device"
        )
    bundle.verify([*bundle.find("graph"), *bundle.find("weights", "onnxruntime")])
    place = _place(bundle, provider, threads)
    batch = bundle.manifest.vae_batch
    spec = bundle.manifest.spec

    def session(name: str, size: int, named: bool = False) -> Lazy:
        def open_session() -> Callable[..., Any]:
            try:
                with private_copy(bundle, graph_files(bundle, name)) as folder:
                    opened = Session(folder / name, size, place)
                return opened.run if named else opened
            except ERRORS as error:
                raise EngineError(f"ONNX Runtime {ort.__version__} cannot run {name}: {_one_line(error)}") from error

        return Lazy(open_session)

    texts = {part: session(f"{part}/model.onnx", TEXT_BATCH, named=True) for part in spec.text_encoders}
    denoise = session(f"{spec.denoiser}/rows.onnx", rows)
    decode, encode = session("vae_decoder/images.onnx", batch), session("vae_encoder/images.onnx", batch)
    return Calls(
        text_call(spec, texts),
        denoise,
        decode,
        encode,
        place.device,
        place.threads if provider == "cpu" else None,
        opened=(*texts.values(), denoise, decode, encode),
        encoders=texts,
    )


def check_assignment(session: ort.InferenceSession, provider: str, name: str) -> None:
    """Refuse a session that would run on another provider than was asked for, as a whole or in its heavy nodes.

    Raises
    ------
    EngineError
        ONNX Runtime fell back to another provider, which it does silently.
    """
    first = session.get_providers()[0]
    elsewhere = {
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name not in (provider, *ON_DEVICE.get(provider, ()))
        for node in part.get_nodes()
    }
    if first != provider or elsewhere & set(HEAVY):
        what = ", ".join(sorted(elsewhere & set(HEAVY))) or "all"
        raise EngineError(
            f"{what} of {name} would run on {first if first != provider else 'the CPU'} instead of {provider}: "
            "ONNX Runtime fell back silently; check the driver and that onnxruntime-gpu matches its CUDA version, "
            "or ask for the cpu device"
        )


def _place(bundle: Bundle, provider: str, threads: int | None) -> Place:
    threads = threads or len(os.sched_getaffinity(0))
    if provider == "cpu":
        return Place(provider, torch.device("cpu"), threads)
    device = torch.device("cuda:0")
    require_on_gpu(
        device, sum(a.bytes for a in bundle.find("weights") if a.path.endswith("model.onnx.data")), str(bundle.folder)
    )
    stream = torch.cuda.Stream(device)
    options = {"device_id": "0", "user_compute_stream": str(stream.cuda_stream)}
    if provider == "cuda":
        return Place(provider, device, threads, stream, options | CUDA_OPTIONS)
    # Keyed by everything that makes an engine file stale, which ONNX Runtime does not check.
    kept = cache_folder() / "onnxruntime" / f"{bundle.digest[:16]}-{ort.__version__}-{torch.cuda.get_device_name(0)}"
    kept.mkdir(parents=True, exist_ok=True)
    return Place(
        provider,
        device,
        threads,
        stream,
        options
        | {
            "trt_fp16_enable": str(int(bundle.manifest.precision in ("fp16", "fp8"))),
            "trt_bf16_enable": str(int(bundle.manifest.precision == "bf16")),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(kept),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(kept),
        },
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _options(rows: int, threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.add_free_dimension_override_by_name("rows", rows)
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options.add_session_config_entry(
        "session.qdq_matmulnbits_accuracy_level", "1"
    )  # or it rounds activations to 8 bits
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return options


def _providers(place: Place) -> list[str | tuple[str, dict[str, str]]]:
    """The provider; after TensorRT the CUDA one, for nodes that TensorRT does not take; the CPU is always last."""
    if place.provider == "cpu":
        return [PROVIDERS["cpu"]]
    first: list[str | tuple[str, dict[str, str]]] = [(PROVIDERS[place.provider], place.options)]
    shared = {name: place.options[name] for name in ("device_id", "user_compute_stream")} | {"use_tf32": "0"}
    return [*first, (PROVIDERS["cuda"], shared)] if place.provider == "tensorrt" else first
