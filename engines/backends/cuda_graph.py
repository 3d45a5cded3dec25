"""One CUDA graph of a whole function: a denoising step replayed without launching kernels from Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def record(call: Callable[[], T], device: torch.device) -> tuple[torch.cuda.CUDAGraph, T]:
    """Record the kernels that a function launches, and return what it returned.

    Capture is thread-local, so that other threads can use the device meanwhile.
    """
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):  # libraries allocate memory and choose kernels in the first runs
        for _ in range(2):
            call()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        result = call()
    return graph, result


class Captured:
    """A function of tensors with fixed shapes, recorded once and replayed.

    The function must launch the same kernels each time: the UNet, or a whole step with guidance and the solver's
    update, with its coefficients as tensors.

    Parameters
    ----------
    call
        Tensors in, one tensor out.
    examples
        CUDA tensors of the shapes and types that every call will have.
    """

    def __init__(self, call: Callable[..., torch.Tensor], *examples: torch.Tensor) -> None:
        with torch.inference_mode(False):  # buffers of one kind and layout, whoever calls
            self.inputs = [example.clone(memory_format=torch.contiguous_format) for example in examples]
        self.graph, self.output = record(lambda: call(*self.inputs), self.inputs[0].device)

    def __call__(self, *arrays: torch.Tensor) -> torch.Tensor:
        """Replay. The next call overwrites the result."""
        for buffer, array in zip(self.inputs, arrays, strict=True):
            buffer.copy_(array, non_blocking=True)
        self.graph.replay()
        return self.output


def captured(call: Callable[..., torch.Tensor], *examples: torch.Tensor) -> Callable[..., torch.Tensor]:
    """`Captured` on CUDA; on other devices the function as it is."""
    return Captured(call, *examples) if examples[0].device.type == "cuda" else call
