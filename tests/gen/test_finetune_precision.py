"""`gen finetune --mixed-precision`: half-precision arithmetic, weights and checkpoints in single precision."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from gen.finetune.run import new_accelerator, tune
from gen.finetune.settings import Execution, Settings
from shards.folder import open_data
from shards.images import encode_image


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> Iterator[None]:
    """accelerate keeps its precision for the life of a process."""
    yield
    AcceleratorState._reset_state(True)


def tuned(model: Path, images: Path, out: Path, precision: str) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses of three steps, and the UNet that was written."""
    AcceleratorState._reset_state(True)
    settings = Settings.check(method="full", steps=3, views=1, learning_rate=1e-4, mixed_precision=precision,
                              template="An image of {class}")
    tune(model, open_data(images), out, settings, Execution(), new_accelerator(settings, Execution()))
    with (out / "training" / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    return losses, load_file(out / "unet" / "diffusion_pytorch_model.safetensors")


def test_bf16_learns_the_same_in_half_precision(random_pipeline: Path, tmp_path: Path) -> None:
    """Other roundings than fp32's, and no more than that; what is written loads as any other pipeline's weights."""
    photos = tmp_path / "photos" / "plaque"
    photos.mkdir(parents=True)
    for number in range(4):
        picture = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        (photos / f"p{number}.png").write_bytes(encode_image(picture))
    whole, expected = tuned(random_pipeline, photos.parent, tmp_path / "fp32", "no")
    half, got = tuned(random_pipeline, photos.parent, tmp_path / "bf16", "bf16")
    assert half != whole
    assert half == pytest.approx(whole, rel=2e-2)
    before = load_file(random_pipeline / "unet" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in got.values()} == {torch.float32}
    moved = {key: (got[key] - before[key]).flatten() for key in before}
    towards = {key: (expected[key] - before[key]).flatten() for key in before}
    one, other = (torch.cat(list(moves.values())) for moves in (moved, towards))
    assert torch.cosine_similarity(one, other, dim=0) > 0.9
