"""The folder `demo` of `make demo`, small: the examples of the docstrings and of the how-to page run next to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import engines
from gen.builtin import pipeline_folder
from gen.cli import PROGRAM


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory, phantom_shards: Path) -> Path:
    """A folder with demo/bundle (the built-in pipeline), demo/phantoms and demo/shards (36 images of few steps)."""
    folder = tmp_path_factory.mktemp("workplace")
    demo = folder / "demo"
    demo.mkdir()
    (demo / "phantoms").symlink_to(phantom_shards)
    engines.build(pipeline_folder(), demo / "bundle", backend="torch", rows=8)
    words = ["sample", "--shards", demo / "shards", "--engine", demo / "bundle", "--per-cell", "1", "--steps", "4"]
    done = CliRunner().invoke(PROGRAM.app(["sample"]), [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return folder
