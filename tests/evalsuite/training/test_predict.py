"""A checkpoint's table is what the card reads, and is not made on images that trained it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from evalsuite.cli import PROGRAM
from evalsuite.fairness import predictions
from evalsuite.training import checkpoint
from evalsuite.training.predict import predict
from shards import ShardSet


@pytest.fixture(scope="module")
def trained(phantom_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("checkpoint")
    done = CliRunner().invoke(
        PROGRAM.app(),
        ["train", "--real", str(phantom_shards), "--out", str(out), "--size", "32", "--steps", "3", "--batch", "8"],
    )
    assert done.exit_code == 0, done.output
    return out


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


def test_patients_and_what_the_generator_saw_are_refused_too(trained: Path) -> None:
    """Another image of a training patient, or one that the generator of the synthetic images was tuned on."""
    record = checkpoint.read_record(trained).model_copy(
        update={"clusters": {"train": ["p1"], "validation": ["p2"]}, "lineage": ["x-[000-099]"]}
    )
    checkpoint.refuse_seen(record, trained, ["new"], ["p3"], "use others")
    with pytest.raises(UserError, match=r"1 clusters were in the validation set .*p2.*use others"):
        checkpoint.refuse_seen(record, trained, ["new"], ["p2", "p3"], "use others")
    with pytest.raises(UserError, match=r"1 images were seen by the generator .*x-042"):
        checkpoint.refuse_seen(record, trained, ["new", "x-042"], [], "use others")


def test_a_damaged_checkpoint_is_named(trained: Path, tmp_path: Path) -> None:
    """One line instead of a traceback."""
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoint.load(tmp_path)
    (tmp_path / "checkpoint.json").write_bytes((trained / "checkpoint.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="does not hold the weights"):
        checkpoint.load(tmp_path)
