"""Which parts of a network run in half precision: all but norms and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import nn

# In fp8 `engines.compile.fp8` quantises products; everything else is fp16.
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "fp8": torch.float16}
HALF_MAX = torch.finfo(torch.float16).max  # 65504
M = TypeVar("M", bound=nn.Module)


class Float32Norm(nn.Module):
    """A norm that sums in float32 whatever its input is: sums of squares overflow fp16 at 65504."""

    def __init__(self, norm: nn.GroupNorm | nn.LayerNorm) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(x.float()).to(x.dtype)
        return out


NORMS = (nn.GroupNorm, nn.LayerNorm)
HALF_ROOM = 0.25  # of fp16's range: real latents and images reach larger values than random ones


def lower(module: M, dtype: torch.dtype) -> M:
    """A module in `dtype` with its norms in float32. Changes the module."""
    module = module.eval()
    if dtype == torch.float32:
        return module
    for part in module.modules():
        if isinstance(part, NORMS):
            continue
        for value in part.parameters(recurse=False):
            value.data = value.data.to(dtype)
        for name, buffer in part.named_buffers(recurse=False):  # some are views, whose data torch.export compares
            part._buffers[name] = buffer.to(dtype) if buffer.is_floating_point() else buffer
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, NORMS) and not isinstance(parent, Float32Norm):
                setattr(parent, name, Float32Norm(child))
    return module


ENCODER = ("encoder", "quant_conv")
DECODER = ("decoder", "post_quant_conv")


def vae_dtypes(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The precision of each module of a VAE.

    bf16 has 8 bits: images encoded in it are 1.4 % off (measured on the built-in pipeline), which is more than a
    certificate allows. An encoder runs at most once an image, so it stays in float32.
    """
    return dict.fromkeys(ENCODER, torch.float32 if dtype == torch.bfloat16 else dtype) | dict.fromkeys(DECODER, dtype)


def lower_vae(vae: M, dtypes: Mapping[str, torch.dtype]) -> M:
    """A VAE with each of its modules in a precision of its own. Changes the VAE."""
    for name, dtype in dtypes.items():
        part = getattr(vae, name)
        if part is not None:
            lower(part, dtype)
    return vae.eval()


def largest_output(module: nn.Module, *example: torch.Tensor) -> tuple[float, str]:
    """The largest magnitude in the outputs of a module's layers on an example, and the name of the layer."""
    found = [(0.0, "")]

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def look(_: nn.Module, __: object, out: object) -> None:
            if isinstance(out, torch.Tensor):
                found.append((float(out.abs().nan_to_num(nan=math.inf).max()), name))  # max() would skip NaN

        return look

    hooks = [m.register_forward_hook(watch(name)) for name, m in module.named_modules()]
    with torch.inference_mode():
        module(*example)
    for hook in hooks:
        hook.remove()
    return max(found)


def fits_half(module: nn.Module, *example: torch.Tensor) -> bool:
    """Whether every layer's output on an example stays well inside fp16's range."""
    return largest_output(module, *example)[0] < HALF_ROOM * HALF_MAX
