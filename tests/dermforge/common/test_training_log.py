"""A log goes on where a checkpoint does."""

from __future__ import annotations

from pathlib import Path

from dermforge.common.training_log import TrainingLog


def test_lines_after_a_checkpoint_are_written_again(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = TrainingLog(path, ("step", "loss"))
    log.add(1, "0.5")
    saved = log.state
    log.add(2, "-0.25")
    assert path.read_text() == "step,loss\n1,0.5\n2,-0.25\n"
    again = TrainingLog(path, ("step", "loss"))
    assert path.read_text() == "step,loss\n"
    again.restore(saved)
    again.add(2, "nan")
    assert path.read_text() == "step,loss\n1,0.5\n2,nan\n"
