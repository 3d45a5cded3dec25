"""A small classifier of phantoms: it judges generated ones, and says what an autoencoder must keep."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dermforge.common import tensor_files
from dermforge.common.progress import Ticker, no_tick
from gen.builtin.data import Phantoms, to_tensor, turned
from gen.phantoms import CLASSES

MODEL = "test_resnet"  # timm's 0.37 M-parameter ResNet
SPREAD = 0.4  # its inputs are [-1, 1] over this, about unit variance


def train_classifier(
    data: Phantoms, per_class: int, steps: int, *, seed: int = 0, cache: Path | None = None, tick: Ticker = no_tick
) -> nn.Module:
    """Train on the first `per_class` phantoms of every class, turned at random; read from `cache` when it is there."""
    identity = {"phantoms": data.digest, "per_class": per_class, "steps": steps, "seed": seed}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net: nn.Module = timm.create_model(MODEL, num_classes=len(CLASSES))
        if cache is not None and (stored := tensor_files.cached(cache, identity)) is not None:
            net.load_state_dict(stored)
            return net.eval()
        _fit(net, data, per_class, steps, tick)
    if cache is not None:
        tensor_files.write(cache, net.state_dict(), identity)
    return net.eval()


def _fit(net: nn.Module, data: Phantoms, per_class: int, steps: int, tick: Ticker) -> None:
    chosen = np.concatenate([np.flatnonzero(data.labels == c)[:per_class] for c in range(len(CLASSES))])
    images, labels = data.images[chosen], torch.from_numpy(data.labels[chosen])
    batch, peak = (32, 2e-3) if per_class < 200 else (64, 3e-3)
    optimizer = torch.optim.AdamW(net.parameters(), lr=peak, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.15)
    for _ in range(steps):
        pick = torch.randint(len(labels), (batch,))
        x = turned(to_tensor(images[pick.numpy()]))
        loss = F.cross_entropy(net(x / SPREAD), labels[pick], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        tick()


@torch.no_grad()
def predict(net: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Predicted position in `CLASSES` of uint8 [n, h, w, 3], [n]."""
    parts = np.array_split(images, max(1, math.ceil(len(images) / 256)))
    return np.concatenate([net(to_tensor(part) / SPREAD).argmax(1).numpy() for part in parts])


@torch.no_grad()
def features(net: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the classifier's last layer sees of uint8 [n, h, w, 3], [n, d]."""
    body: Callable[[Tensor], Tensor] = net.forward_features  # type: ignore[assignment]
    pool: Callable[..., Tensor] = net.forward_head  # type: ignore[assignment]
    parts = np.array_split(images, max(1, math.ceil(len(images) / 256)))
    return np.concatenate([pool(body(to_tensor(part) / SPREAD), pre_logits=True).numpy() for part in parts])


def perceptual_distance(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """How different two batches look to a classifier: squared distance of its normalised features (Zhang 2018, LPIPS).

    x, y: [b, 3, h, w] in [-1, 1]; a scalar, the sum over its stages of the mean over pixels.
    """
    stages: Callable[..., list[Tensor]] = net.forward_intermediates  # type: ignore[assignment]
    first, second = (stages(z / SPREAD, intermediates_only=True) for z in (x, y))
    return torch.stack([(_unit(a) - _unit(b)).square().mean() for a, b in zip(first, second, strict=True)]).sum()


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().mean(1, keepdim=True) + 1e-4).sqrt()
