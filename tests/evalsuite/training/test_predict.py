"""A checkpoint's table is what the card reads, and is not made on images that trained it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from training_helpers import images
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from dermforge.fairness import fairness_card
from evalsuite.cli import PROGRAM
from evalsuite.fairness import predictions
from evalsuite.page.render import page
from evalsuite.report import fairness_report
from evalsuite.training.predict import predict, predictions_frame
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


def test_a_card_names_the_classifier_of_our_own_table(trained: Path) -> None:
    """In a notebook and on the page, from the parquet alone; a table of another classifier says nothing."""
    frame = pd.read_parquet(trained / "predictions.parquet")
    card = fairness_card(frame, groups=["group"])
    named = "Classifier: test_efficientnet (timm) at 32 px, trained from scratch, 3 steps of 8 images."
    assert named in card._repr_html_()
    assert named in page([fairness_report.report(card, predictions.from_frame(frame))])
    frame.attrs.clear()
    assert "Classifier" not in fairness_card(frame, groups=["group"])._repr_html_()


def test_training_images_are_refused_with_their_ids(trained: Path, phantom_shards: Path) -> None:
    """An accuracy on training images is none."""
    with pytest.raises(UserError, match=r"72 images were in the train set .*phantom-"):
        predict(trained, ShardSet.open(phantom_shards / "train"))


def test_the_table_has_every_attribute_and_cluster(tmp_path: Path) -> None:
    """What is missing is called unknown; an image without a patient is a cluster of its own."""
    made = images(3)
    made.rows["group"] = ["light", None, "dark"]
    made.rows["attributes"] = pd.Series([{"sex": "f"}, {}, None], dtype=object)
    assert "cluster" not in predictions_frame(made, torch.eye(3))
    made.rows["cluster"] = ["p1", None, "p1"]
    table = predictions_frame(made, 2 * torch.eye(3))
    assert table[["prob_a", "prob_b", "prob_c"]].to_numpy().tolist() == torch.eye(3).tolist()
    assert table[["group", "sex", "cluster"]].to_numpy().tolist() == [
        ["light", "f", "p1"],
        ["unknown", "unknown", "r0-001"],
        ["dark", "unknown", "p1"],
    ]
