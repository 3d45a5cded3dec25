"""ONNX Runtime: the CPU by default, CUDA or TensorRT providers where they are; torch tensors bound by pointer."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from engines.bundle import Bundle
from engines.engine import TEXT_BATCH, Call, Calls, lazily
from engines.errors import EngineError

NUMPY = {torch.float32: np.float32, torch.int64: np.int64, torch.uint8: np.uint8}
TORCH = {"tensor(float)": torch.float32, "tensor(int64)": torch.int64, "tensor(uint8)": torch.uint8}
_STATE = ort.capi.onnxruntime_pybind11_state
ERRORS = (
    _STATE.Fail,
    _STATE.InvalidGraph,
    _STATE.InvalidProtobuf,
    _STATE.NotImplemented,
    _STATE.RuntimeException,
    _STATE.EPFail,
    _STATE.InvalidArgument,
    _STATE.NoSuchFile,
)
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class Session:
    """One graph at one static number of rows, with its output buffer; inputs are bound where they lie."""

    def __init__(self, path: Path, rows: int, provider: str, device: torch.device, threads: int | None) -> None:
        self.device, self.provider = device, PROVIDERS[provider]
        self.session = ort.InferenceSession(str(path), _options(rows, threads), providers=_providers(provider, device))
        ran = self.session.get_providers()[0]
        if ran != self.provider:
            raise EngineError(
                f"{path.name} would run on {ran} instead of {self.provider}: ONNX Runtime fell back silently; "
                "check the driver and that onnxruntime-gpu matches its CUDA version, or ask for the cpu device"
            )
        self.inputs = [(i.name, TORCH[i.type]) for i in self.session.get_inputs()]
        output = self.session.get_outputs()[0]
        shape = [rows if isinstance(d, str) else d for d in output.shape]
        self.output = torch.empty(shape, dtype=TORCH[output.type], device=device)
        self.binding = self.session.io_binding()
        self._bind(self.binding.bind_output, output.name, self.output)

    def __call__(self, *arrays: torch.Tensor) -> torch.Tensor:
        """Run; the result is a buffer that the next call overwrites."""
        held = [a.to(dtype).contiguous() for a, (_, dtype) in zip(arrays, self.inputs, strict=True)]
        for (name, _), array in zip(self.inputs, held, strict=True):
            self._bind(self.binding.bind_input, name, array)
        self.session.run_with_iobinding(self.binding)
        return self.output

    def _bind(self, bind: object, name: str, array: torch.Tensor) -> None:
        assert callable(bind)
        bind(
            name,
            self.device.type,
            self.device.index or 0,
            NUMPY[array.dtype],
            tuple(array.shape),
            array.data_ptr(),
        )


def open_calls(bundle: Bundle, rows: int, device: str | None = None, threads: int | None = None) -> Calls:
    """Sessions over a bundle's ONNX graphs.

    Parameters
    ----------
    rows
        Static rows of the UNet.
    device
        cpu (default), cuda or tensorrt: ONNX Runtime's provider of that name.
    threads
        CPU threads; None for one a core that this process may use.
    """
    provider = device or "cpu"
    if provider not in PROVIDERS:
        raise EngineError(f"unknown device {provider!r} for onnxruntime; expected one of {', '.join(PROVIDERS)}")
    if PROVIDERS[provider] not in ort.get_available_providers():
        raise EngineError(
            f"this ONNX Runtime has no {PROVIDERS[provider]} (it has {', '.join(ort.get_available_providers())}): "
            "install the extra dermforge[cuda] on a machine with a GPU, or use the cpu device"
        )
    bundle.verify([*bundle.find("graph"), *bundle.find("weights")])
    place = torch.device("cpu" if provider == "cpu" else "cuda:0")
    batch = bundle.manifest.vae_batch
    graphs = {a.path for a in bundle.find("graph")}
    unet = "unet/cpu.onnx" if provider == "cpu" and "unet/cpu.onnx" in graphs else "unet/rows.onnx"

    def session(name: str, size: int) -> Call:
        def open_session() -> Session:
            try:
                return Session(bundle.folder / name, size, provider, place, threads)
            except ERRORS as error:
                reason = " ".join(str(error).split())[:300]
                raise EngineError(f"ONNX Runtime {ort.__version__} cannot run {name}: {reason}") from error

        return lazily(open_session)

    return Calls(
        session("text_encoder/model.onnx", TEXT_BATCH),
        session(unet, rows),
        session("vae_decoder/images.onnx", batch),
        session("vae_encoder/images.onnx", batch),
        place,
    )


def _options(rows: int, threads: int | None) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.add_free_dimension_override_by_name("rows", rows)
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return options


def _providers(provider: str, device: torch.device) -> list[str | tuple[str, dict[str, str]]]:
    if provider == "cpu":
        return [PROVIDERS["cpu"]]
    stream = str(torch.cuda.current_stream(device).cuda_stream)
    shared = {"device_id": str(device.index or 0), "user_compute_stream": stream}
    if provider == "cuda":
        return [(PROVIDERS["cuda"], shared | {"cudnn_conv_algo_search": "EXHAUSTIVE", "prefer_nhwc": "1"})]
    return [(PROVIDERS["tensorrt"], shared), (PROVIDERS["cuda"], shared)]
