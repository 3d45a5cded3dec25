"""A small classifier of phantoms, trained from scratch: how hard they are, and what generated ones look like."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gen.builtin.data import Phantoms
from gen.phantoms import CLASSES
from shards.console import progress

MODEL = "test_resnet"  # timm's 0.37 M-parameter ResNet


def train_judge(data: Phantoms, per_class: int, steps: int, *, seed: int = 0, cache: Path | None = None) -> nn.Module:
    """Train on the first `per_class` phantoms of every class, with flips; read from `cache` when it is there."""
    torch.manual_seed(seed)
    net = timm.create_model(MODEL, num_classes=len(CLASSES))
    if cache is not None and cache.exists():
        net.load_state_dict(load_file(cache))
        return net.eval()
    chosen = np.concatenate([np.flatnonzero(data.labels == c)[:per_class] for c in range(len(CLASSES))])
    images, labels = data.images[chosen], torch.from_numpy(data.labels[chosen])
    batch, peak = (32, 2e-3) if per_class < 200 else (64, 3e-3)
    optimizer = torch.optim.AdamW(net.parameters(), lr=peak, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.15)
    with progress(f"train a judge on {per_class} per class", steps, "steps") as tick:
        for _ in range(steps):
            pick = torch.randint(len(labels), (batch,))
            loss = F.cross_entropy(net(_turned(_prepared(images[pick.numpy()]))), labels[pick], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            tick()
    if cache is not None:
        save_file(net.state_dict(), cache)
    return net.eval()


@torch.no_grad()
def predict(net: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Predicted position in `CLASSES` of uint8 [n, h, w, 3], [n]."""
    parts = np.array_split(images, max(1, math.ceil(len(images) / 256)))
    return np.concatenate([net(_prepared(part)).argmax(1).numpy() for part in parts])


def _prepared(images: NDArray[np.uint8]) -> Tensor:
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.2


def _turned(x: Tensor) -> Tensor:
    for axis in (2, 3):
        if torch.rand(()) < 0.5:
            x = x.flip(axis)
    return x.transpose(2, 3) if torch.rand(()) < 0.5 else x
