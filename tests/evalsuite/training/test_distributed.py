"""Several processes under torchrun train as one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from training_helpers import SMALL


@pytest.mark.slow
def test_two_processes_train_as_one_does(phantom_shards: Path, tmp_path: Path) -> None:
    """torchrun with gloo: the same global batches, the same weights up to the order of sums."""
    options = [
        "--model",
        "test_convnext",
        *SMALL,
        "--steps",
        "4",
        "--batch",
        "8",
        "--augment",
        "none",
        "--evaluate-every",
        "2",
    ]
    command = ["-m", "evalsuite", "train", "--real", str(phantom_shards), *options, "--evaluate-every", "2"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *command, "--out", str(tmp_path / "one")], check=True, env=env)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    subprocess.run([*torchrun, *command, "--out", str(tmp_path / "two")], check=True, env=env)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert max(float((one[k] - two[k]).abs().max()) for k in one) < 1e-3
