"""Engines for the sampler's tests: real ones, of pipelines small enough to run in milliseconds."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from finetune_helpers import run
from tiny_pipeline import tiny_pipeline

import engines
from shards.format.images import encode_image


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pipeline folders: `text` with a UNet of 4 channels, `inpaint` with one of 9."""
    root = tmp_path_factory.mktemp("pipelines")
    return {name: tiny_pipeline(root / name, name == "inpaint") for name in ("text", "inpaint")}


@pytest.fixture(scope="session")
def bundles(pipelines: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of both pipelines that run in torch, 8 rows a call."""
    root = tmp_path_factory.mktemp("bundles")
    for name, folder in pipelines.items():
        engines.build(folder, root / name, backend="torch", rows=8, allow_parity_failure=True)
    return {name: root / name for name in pipelines}


@pytest.fixture(scope="session")
def onnx_bundle(pipelines: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text pipeline for ONNX Runtime."""
    out = tmp_path_factory.mktemp("onnx") / "bundle"
    engines.build(pipelines["text"], out, backend="onnxruntime", rows=8, allow_parity_failure=True)
    return out


@pytest.fixture(scope="session")
def open_engine(bundles: dict[str, Path]) -> Callable[..., engines.Engine]:
    """Load an engine of `text` or `inpaint`, optionally with another number of rows."""
    return lambda name="text", rows=None: engines.load(bundles[name], device="cpu", rows=rows)


@pytest.fixture
def finetune(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """`gen finetune` of an untrained pipeline on `images` into the folder `tuned`; its exit status."""
    usual = {"model": random_pipeline, "data": images, "out": tmp_path / "tuned"}
    return lambda **options: run(monkeypatch, **{**usual, **options})


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training images and one for testing, in a folder with a table."""
    folder = tmp_path_factory.mktemp("images") / "photos"
    folder.mkdir()
    rows, rng = [], np.random.default_rng(0)
    for number in range(9):
        cls, group = ("lichen_planus", "plaque")[number % 2], "IV"[number // 2 % 2]
        picture = rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)
        (folder / f"p{number}.png").write_bytes(encode_image(picture))
        rows.append([f"p{number}.png", cls, group, f"patient{number // 2}", "test" if number == 8 else "train"])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "class", "fst", "patient", "split"], *rows])
    return folder
