"""A small classifier that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_helpers import SMALL
from typer.testing import CliRunner

from evalsuite.cli import PROGRAM


@pytest.fixture(scope="session")
def trained(phantom_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("checkpoint")
    done = CliRunner().invoke(
        PROGRAM.app(),
        ["train", "--real", str(phantom_shards), "--out", str(out), *SMALL, "--steps", "3", "--batch", "8"],
    )
    assert done.exit_code == 0, done.output
    return out
