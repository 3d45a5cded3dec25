"""`evalsuite train`: what it refuses before training, its log, and several processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from training_helpers import SMALL
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from evalsuite.cli import PROGRAM
from evalsuite.training import checkpoint


def test_a_tensorboard_log_of_a_run_reads_back(phantom_shards: Path, tmp_path: Path) -> None:
    """What TensorBoard's own reader finds is what the checkpoint records."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    options = [*SMALL, "--steps", "4", "--batch", "6", "--evaluate-every", "2", "--tensorboard"]
    words = ["train", "--real", str(phantom_shards), "--out", str(tmp_path / "out"), *options]
    done = CliRunner().invoke(PROGRAM.app(), words)
    assert done.exit_code == 0, done.output
    log = reader.EventAccumulator(str(tmp_path / "out" / "tensorboard")).Reload()
    history = checkpoint.read_record(tmp_path / "out").history
    assert [e["step"] for e in history] == [2, 4]
    for name in ("loss", "accuracy", "train_loss"):
        assert [(e.step, e.value) for e in log.Scalars(name)] == [
            (e["step"], pytest.approx(e[name], rel=1e-6)) for e in history
        ]


def test_a_log_without_tensorboard_is_refused_before_training(
    phantom_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of hours must not end in a missing package."""
    for name in [n for n in sys.modules if n.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    words = ["train", "--real", str(phantom_shards), "--out", str(tmp_path / "out"), *SMALL, "--tensorboard"]
    done = CliRunner().invoke(PROGRAM.app(), words)
    assert isinstance(done.exception, UserError)
    assert "pip install 'tensorboard>=" in str(done.exception)
    assert not (tmp_path / "out" / "result.json").exists()


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
