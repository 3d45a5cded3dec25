"""Fixtures that more than one package uses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gen.phantoms.dataset import write_split

torch.set_num_threads(1)  # tests run side by side


@pytest.fixture(scope="session")
def random_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained pipeline folder of the built-in pipeline's shapes."""
    from gen.builtin.model import new_pipeline

    folder = tmp_path_factory.mktemp("random") / "pipeline"
    new_pipeline(0).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def phantom_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small train/, validation/ and test/ sets of phantoms: 72, 36 and 72 images."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_split(folder, "train", 2, seed=900, size=64)
    write_split(folder, "validation", 1, seed=900, size=64)
    write_split(folder, "test", 2, seed=900, size=64)
    return folder
