"""`bench train`: images a second of the training loop, beside the bare model's."""

from __future__ import annotations

import os
import time
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import typer
from rich.table import Table

from evalsuite.training import arm, loop, model
from evalsuite.training.distributed import World
from evalsuite.training.pool import Pool
from evalsuite.training.recipe import DEFAULT_MODEL, Recipe, make_recipe
from shards.console import out, print_json

OTHERS = ("test_resnet", "test_convnext", "mobilenetv3_small_050", "resnet10t")


def train(
    models: Annotated[list[str] | None, typer.Option("--model", help="timm models; may be given again.")] = None,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 64,
    batch: Annotated[int, typer.Option(help="Images a step.")] = 64,
    steps: Annotated[int, typer.Option(help="Steps timed, after two that are not.")] = 20,
    threads: Annotated[int | None, typer.Option(help="Threads. [default: all cores]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Training images a second of `evalsuite train` (drawing, augmenting, validating) and of the bare model.

    Example: bench train --model test_efficientnet --threads 1
    """
    torch.set_num_threads(threads or os.cpu_count() or 1)
    rows = [measure(name, size, batch, steps) for name in models or (DEFAULT_MODEL, *OTHERS)]
    if as_json:
        print_json({"threads": torch.get_num_threads(), "size": size, "batch": batch, "models": rows})
        return
    table = Table(title=f"training, {size} px, batch {batch}, {torch.get_num_threads()} threads")
    for name in ("model", "parameters", "bare images/s", "evalsuite images/s"):
        table.add_column(name)
    for row in rows:
        table.add_row(str(row["model"]), f"{row['parameters']:,}", f"{row['bare']:.0f}", f"{row['loop']:.0f}")
    out.print(table)


def measure(name: str, size: int, batch: int, steps: int) -> dict[str, float | int | str]:
    """Both rates of one model."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = make_recipe(model=name, size=size, batch=batch, steps=steps, evaluate_every=steps)
    network = model.build(recipe, 6).to(device)
    bare = _bare(network, recipe, device)
    pool = random_pool(max(512, batch), size)
    world = World(0, 1, device)
    begun = time.monotonic()
    loop.fit(recipe, network, arm.image_stage(network, recipe, world), pool, pool.take(np.arange(64)), world)
    seconds = time.monotonic() - begun
    return {"model": name, "parameters": sum(p.numel() for p in network.parameters()), "bare": bare,
            "loop": steps * batch / seconds}


def random_pool(n: int, size: int) -> Pool:
    """Noise of six classes, in memory."""
    generator = torch.Generator().manual_seed(0)
    ids = np.array([f"i{i}" for i in range(n)])
    nothing = np.full(n, "")
    return Pool(
        torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator), ids,
        tuple("abcdef"), np.arange(n) % 6, np.zeros(n, dtype=bool), pd.DataFrame({"group": ["all"] * n}), ids, nothing,
        np.full(n, "phantom"), nothing,
    )


def _bare(network: torch.nn.Module, recipe: Recipe, device: torch.device) -> float:
    """Forward, backward and optimiser on one batch that never changes."""
    optimiser = loop.make_optimiser(recipe, network)
    x = torch.randn(recipe.batch, 3, recipe.size, recipe.size, device=device)
    y = torch.arange(recipe.batch, device=device) % 6
    network.train()
    begun = 0.0
    for step in range(recipe.steps + 2):
        if step == 2:
            _wait(device)
            begun = time.monotonic()
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(network(x), y).backward()
        optimiser.step()
    _wait(device)
    return recipe.steps * recipe.batch / (time.monotonic() - begun)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
