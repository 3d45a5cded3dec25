"""A bundle of the untrained pipeline, which several benchmarks measure."""

from __future__ import annotations

from pathlib import Path

import pytest

import engines
from engines.engine import Engine


@pytest.fixture(scope="session")
def bundle(random_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained pipeline as a torch bundle: nothing to export."""
    out = tmp_path_factory.mktemp("bench") / "bundle"
    engines.build(random_pipeline, out, backend="torch", rows=4, prompts=["An image of a plaque"])
    return out


@pytest.fixture
def engine(bundle: Path) -> Engine:
    return engines.load(bundle, device="cpu")
