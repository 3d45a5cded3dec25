"""Weights of products in 8 bits, a scale for each output: a large text encoder in a quarter of float32's memory.

Activations keep their precision, and a product is computed in it. So nothing is calibrated, and every backend can run
the network: torch by the module here, ONNX Runtime and TensorRT by `DequantizeLinear`, which both fuse with the product
(docs/decisions/0055).
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from engines.checkpoint.folder import weight_files
from engines.checkpoint.safetensors_file import entries
from engines.checkpoint.skeleton import parts_of
from engines.errors import EngineError

M = TypeVar("M", bound=nn.Module)
LEVELS = 127


class Int8Linear(nn.Module):
    """`nn.Linear` with weights of -127..127, [inputs, outputs], and a scale for each output; in its input's precision.

    Both are buffers: they are not trained.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight, scale = quantized(linear.weight.detach())
        self.register_buffer("weight", weight.T.contiguous())  # as products of ONNX take them
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert isinstance(self.weight, torch.Tensor)
        assert isinstance(self.scale, torch.Tensor)
        if torch.onnx.is_in_onnx_export():  # as one operation, which says that the weights are in 8 bits
            weight = torch.onnx.ops.symbolic(
                "DequantizeLinear",
                (self.weight, self.scale),
                attrs={"axis": 1},
                dtype=self.scale.dtype,
                shape=self.weight.shape,
            )
        else:
            weight = self.weight.to(x.dtype) * self.scale.to(x.dtype)
        return x @ weight if self.bias is None else x @ weight + self.bias


def quantized(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [outputs, inputs] -> whole numbers of -127..127, int8, and the scale of each output, float32 [outputs].

    No weight moves by more than half its output's scale.
    """
    exact = weight.float()
    scale = exact.abs().amax(dim=1) / LEVELS
    scale = scale.where(scale > 0, 1.0)  # an output of zeros alone
    return (exact / scale[:, None]).round().to(torch.int8), scale


def to_int8(network: M) -> M:
    """A network with all its products by weights in 8 bits. Changes the network, which may be without values."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child))
    return network


def offered(model: Path) -> tuple[str, ...]:
    """The parts of a pipeline folder whose weights may be kept in 8 bits.

    Raises
    ------
    EngineError
        There are none.
    """
    found = tuple(name for name, part in parts_of(model).items() if part.int8)
    if not found:
        raise EngineError(
            f"{model} has no T5, whose weights could be kept in 8 bits, and its other text encoders are small: "
            "leave `int8_t5` out"
        )
    return found


def holds_int8(folder: Path, part: str) -> bool:
    """Whether the files of a part hold weights in 8 bits."""
    files = weight_files(folder, part).files
    return any(entry.dtype == "I8" for file in files for entry in entries(file).values())
