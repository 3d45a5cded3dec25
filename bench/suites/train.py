"""Training images a second: the bare model, `evalsuite train`'s loop, and timm's transforms in a DataLoader."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from timm.data import create_transform
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bench.measure.record import Measurement, per_second
from bench.measure.timing import in_turn
from evalsuite.training import loop, model, preprocessing
from evalsuite.training.data.schedule import TrainingSet
from evalsuite.training.distributed import World
from evalsuite.training.recipe import Recipe, make_recipe
from shards import ImageSet
from shards.mixing.tensors import TensorSet

CLASSES = tuple("abcdef")
#: Another unit than that of generated images: `bench cost` is of those.
UNIT = "training images/s"
Steps = Callable[[], object]


def measure(
    name: str,
    device: torch.device,
    *,
    size: int,
    batch: int,
    steps: int,
    repeats: int,
    tick: Callable[[str], object] = lambda _: None,
) -> list[Measurement]:
    """Rates of one timm model, the contestants in turn, and our share of the bare model's rate.

    Parameters
    ----------
    steps
        Optimiser steps of one timed run.
    """
    recipe = make_recipe(model=name, size=size, batch=batch, steps=steps, evaluate_every=steps)
    network = model.build(recipe, len(CLASSES)).to(device)
    images = random_images(max(512, batch), size)
    runs: dict[str, Steps] = {
        "bare": bare(network, recipe, device),
        "ours": ours(network, recipe, images, device),
        "timm": with_timm(network, recipe, images, device),
    }
    times = in_turn(runs, device, repeats=repeats, tick=lambda who: tick(f"{name} {who}"))
    parameters = sum(p.numel() for p in network.parameters())
    found = [
        per_second(f"train/{name}/{who}", took, steps * batch, UNIT, parameters=parameters)
        for who, took in times.items()
    ]
    shares = [one / our for one, our in zip(times["bare"], times["ours"], strict=True)]
    return [*found, Measurement(name=f"share/{name}", unit="of the bare model", better="higher", samples=shares)]


def bare(network: nn.Module, recipe: Recipe, device: torch.device) -> Steps:
    """Forward, backward and optimiser on one batch that never changes: what no loop can beat."""
    x = torch.randn(recipe.batch, 3, recipe.size, recipe.size, device=device)
    y = torch.arange(recipe.batch, device=device) % len(CLASSES)

    def run() -> None:
        optimiser = loop.make_optimiser(recipe, network)
        network.train()
        for _ in range(recipe.steps):
            _learn(network, optimiser, x, y)

    return run


def ours(network: nn.Module, recipe: Recipe, images: TensorSet, device: torch.device) -> Steps:
    """Draw, augment, train, and evaluate 64 images at the end."""
    inputs = preprocessing.of_images(network, recipe.augment, device)
    classifier = loop.Classifier(recipe, network, inputs, World(0, 1, device))
    return lambda: loop.fit(classifier, TrainingSet(images), images.take(np.arange(64)))


def with_timm(network: nn.Module, recipe: Recipe, images: TensorSet, device: torch.device) -> Steps:
    """timm's training transforms (crop, flips, colour) on each image, by a DataLoader with a process a thread."""
    transform = create_transform(recipe.size, is_training=True, vflip=0.5, color_jitter=0.1)
    loader = DataLoader(
        _Pictures(images, transform),
        recipe.batch,
        shuffle=True,
        drop_last=True,
        num_workers=torch.get_num_threads(),
        persistent_workers=True,
    )

    def run() -> None:
        optimiser = loop.make_optimiser(recipe, network)
        network.train()
        step = 0
        while step < recipe.steps:
            for x, y in loader:
                _learn(network, optimiser, x.to(device), y.to(device))
                step += 1
                if step == recipe.steps:
                    break

    return run


def random_images(n: int, size: int) -> TensorSet:
    """Noise of six classes, in memory."""
    generator = torch.Generator().manual_seed(0)
    rows = pd.DataFrame({"id": [f"i{i}" for i in range(n)], "class": [CLASSES[i % len(CLASSES)] for i in range(n)]})
    images = TensorSet([ImageSet(rows.assign(origin="phantom"), CLASSES)])
    return images.with_values(torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator))


class _Pictures(Dataset[tuple[Tensor, int]]):
    """The images as timm's transforms want them: a PIL image at a time."""

    def __init__(self, images: TensorSet, transform: Callable[[Image.Image], Tensor]) -> None:
        pixels = torch.cat(list(images.batches(512))).permute(0, 2, 3, 1).numpy()
        self.images, self.labels, self.transform = [Image.fromarray(p) for p in pixels], images.labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), int(self.labels[index])


def _learn(network: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    F.cross_entropy(network(x), y).backward()
    optimiser.step()
