"""A tiny pipeline folder that a test may change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))


@pytest.fixture
def edit(folder: Path) -> Callable[..., None]:
    """Change keys of one JSON file of the folder."""

    def change(name: str, **values: Any) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


@pytest.fixture
def rename(folder: Path) -> Callable[..., None]:
    """Change the names of a part's weights: name -> new name, or None to leave the weight out."""

    def change(part: str, new: Callable[[str], str | None]) -> None:
        path = next((folder / part).glob("*.safetensors"))
        weights: dict[str, Tensor] = {}
        for name, value in load_file(path).items():
            if (changed := new(name)) is not None:
                weights[changed] = value
        save_file(weights, path, metadata={"format": "pt"})

    return change
