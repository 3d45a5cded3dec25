"""One CUDA graph of a whole function: a denoising step replayed without a kernel launched from Python."""

from __future__ import annotations

from collections.abc import Callable

import torch


class Captured:
    """A function of tensors with fixed shapes, recorded once and replayed.

    The function may be anything that launches the same kernels each time: the UNet, or a whole step with guidance and
    the solver's update, its coefficients passed as tensors. Capture is thread-local, so that other threads may go on
    using the device meanwhile.

    Parameters
    ----------
    call
        Tensors in, one tensor out.
    examples
        CUDA tensors of the shapes and types that every call will have.
    """

    def __init__(self, call: Callable[..., torch.Tensor], *examples: torch.Tensor) -> None:
        self.inputs = [example.clone() for example in examples]
        stream = torch.cuda.Stream(self.inputs[0].device)
        stream.wait_stream(torch.cuda.current_stream(self.inputs[0].device))
        with torch.cuda.stream(stream):  # libraries allocate and choose kernels on a first run
            for _ in range(2):
                call(*self.inputs)
        stream.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            self.output = call(*self.inputs)

    def __call__(self, *arrays: torch.Tensor) -> torch.Tensor:
        """Replay; the result is a buffer that the next call overwrites."""
        for buffer, array in zip(self.inputs, arrays, strict=True):
            buffer.copy_(array, non_blocking=True)
        self.graph.replay()
        return self.output


def captured(call: Callable[..., torch.Tensor], *examples: torch.Tensor) -> Callable[..., torch.Tensor]:
    """`Captured` on CUDA; on other devices the function as it is."""
    return Captured(call, *examples) if examples[0].device.type == "cuda" else call
