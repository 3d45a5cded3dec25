"""`evalsuite train`: what it refuses before training, its log, and several processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import tracker_readers
from training_helpers import SMALL
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from evalsuite.cli import PROGRAM
from evalsuite.study.arm import read_result
from evalsuite.training import checkpoint


@pytest.mark.parametrize("tool", ["tensorboard", "mlflow", "wandb"])
def test_a_tracked_run_reads_back(tool: str, phantom_shards: Path, tmp_path: Path) -> None:
    """What the tool's own reader finds is what the checkpoint records; no id of an image is among it."""
    pytest.importorskip(tool)
    options = [*SMALL, "--steps", "4", "--batch", "6", "--evaluate-every", "2", "--track", tool]
    words = ["train", "--real", str(phantom_shards), "--out", str(tmp_path / "out"), *options]
    done = CliRunner().invoke(PROGRAM.app(), words)
    assert done.exit_code == 0, done.output
    found = getattr(tracker_readers, tool)(tmp_path / "out.tracking")
    found = found[0] if isinstance(found, list) else found
    history = checkpoint.read_record(tmp_path / "out").history
    assert [e["step"] for e in history] == [2, 4]
    for name in ("loss", "accuracy", "train_loss"):
        assert found.points[name] == [(e["step"], pytest.approx(e[name], rel=1e-6)) for e in history]
    result = read_result(tmp_path / "out" / "result.json")
    assert found.outcome["digest"] == result.digest
    assert found.settings["steps"] == "4"
    assert found.settings["weights"] == "scratch"
    places = (tmp_path / "out.tracking").rglob("*")
    content = b"".join(p.read_bytes() for p in places if p.is_file() and p.suffix != ".log")
    ids = [i.encode() for i in checkpoint.read_record(tmp_path / "out").images["train"]]
    assert ids
    assert not [i for i in ids if i in content]
    assert os.fsencode(phantom_shards) not in content


def test_a_tracker_that_is_not_installed_is_refused_before_training(
    phantom_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of hours must not end in a missing package."""
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    words = ["train", "--real", str(phantom_shards), "--out", str(tmp_path / "out"), *SMALL, "--track", "tensorboard"]
    done = CliRunner().invoke(PROGRAM.app(), words)
    assert isinstance(done.exception, UserError)
    assert "pip install 'tensorboard>=" in str(done.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--ratio", "5"], "--mode mix at ratio 5 needs --synthetic"),
        (["--mode", "pretrain-then-tune"], "--mode pretrain-then-tune at ratio 0 needs --synthetic"),
        (["--strategy", "inpaint"], "with --strategy inpaint needs --synthetic"),
        (["--mode", "synthetic-only", "--ratio", "0", "--synthetic", "shards"], "draws no synthetic image"),
    ],
)
def test_synthetic_images_that_are_asked_for_must_be_given(tmp_path: Path, words: list[str], text: str) -> None:
    """Else the run would be one on real images only, under another name."""
    done = CliRunner().invoke(
        PROGRAM.app(), ["train", "--real", str(tmp_path), "--out", str(tmp_path / "out"), *SMALL, *words]
    )
    assert isinstance(done.exception, UserError)
    assert text in str(done.exception)
    assert not (tmp_path / "out").exists()
