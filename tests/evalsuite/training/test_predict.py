"""A checkpoint's table is what the card reads, and is not made on images that trained it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from evalsuite.cli import PROGRAM
from evalsuite.fairness import predictions
from evalsuite.training.predict import predict
from shards import ShardSet


def test_predictions_equal_those_of_the_training_run(trained: Path, phantom_shards: Path, tmp_path: Path) -> None:
    """Saved, loaded and predicted on the same test images: the same table, valid for `evalsuite fairness`."""
    out = tmp_path / "table.parquet"
    done = CliRunner().invoke(PROGRAM.app(), ["predict", str(trained), str(phantom_shards / "test"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    again, first = predictions.load(out), predictions.load(trained / "predictions.parquet")
    assert (again.ids == first.ids).all()
    assert abs(again.probs - first.probs).max() < 1e-5
    assert list(again.groups.columns) == ["group"]


def test_training_images_are_refused_with_their_ids(trained: Path, phantom_shards: Path) -> None:
    """An accuracy on training images is none."""
    with pytest.raises(UserError, match=r"72 images were in the train set .*phantom-"):
        predict(trained, ShardSet.open(phantom_shards / "train"))
