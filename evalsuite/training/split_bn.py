"""Separate batch norm statistics for synthetic images (Yu 2023, after Xie 2020), for any share of them in a batch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class SplitBatchNorm2d(nn.Module):
    """Real images through one batch norm, synthetic ones through another; only `real` is used in evaluation.

    `synthetic` (bool [n]) is set on every layer by `mark_synthetic` before the forward pass.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.real, self.other = norm, copy.deepcopy(norm)
        self.synthetic: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.synthetic is None or not self.synthetic.any():
            real: Tensor = self.real(x)
            return real
        if self.synthetic.all():
            other: Tensor = self.other(x)
            return other
        out = torch.empty_like(x)
        out[~self.synthetic] = self.real(x[~self.synthetic]).to(out.dtype)
        out[self.synthetic] = self.other(x[self.synthetic]).to(out.dtype)
        return out


def split_batch_norms(model: nn.Module) -> int:
    """Replace every BatchNorm2d in place; returns how many there were."""
    replaced = 0
    for name, child in model.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(model, name, SplitBatchNorm2d(child))
            replaced += 1
        else:
            replaced += split_batch_norms(child)
    return replaced


def mark_synthetic(model: nn.Module, synthetic: Tensor) -> None:
    """Say which images of the next forward pass are synthetic, bool [n]."""
    for module in model.modules():
        if isinstance(module, SplitBatchNorm2d):
            module.synthetic = synthetic


def merged_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the model without split norms: the statistics of real images only."""
    kept = {k: v for k, v in state.items() if ".other." not in k}
    return {k.replace(".real.", "."): v for k, v in kept.items()}
