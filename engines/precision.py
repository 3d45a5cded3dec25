"""What runs in half precision and what must not: norms and softmax keep float32."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
M = TypeVar("M", bound=nn.Module)


class Float32Norm(nn.Module):
    """A norm whose sums are float32 whatever its input is: fp16 sums of squares overflow at 65504."""

    def __init__(self, norm: nn.GroupNorm | nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x.float()).to(x.dtype)


def lower(module: M, dtype: torch.dtype) -> M:
    """A module in `dtype` with its norms in float32; float32 is left as it is."""
    module = module.eval().to(dtype)
    if dtype != torch.float32:
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.GroupNorm | nn.LayerNorm) and not isinstance(parent, Float32Norm):
                    setattr(parent, name, Float32Norm(child))
    return module
