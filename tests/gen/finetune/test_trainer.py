"""The training loop: precision, learning rate, the weights of its losses, shares of a batch."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import Tensor

from dermforge.common.errors import CheckFailed, UserError
from gen.finetune.settings import Execution, Hyperparameters
from gen.finetune.task import Task
from gen.finetune.trainer import due, shares
from gen.finetune.tune import new_accelerator, tune
from shards.format.images import encode_image
from shards.ingest.folder import open_data

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images of one class."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "plaque").mkdir()
    for number in range(4):
        picture = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        (folder / "plaque" / f"p{number}.png").write_bytes(encode_image(picture))
    return folder


def tuned(model: Path, images: Path, out: Path, **options: object) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """The log of three steps, and the UNet that was written."""
    AcceleratorState._reset_state(True)
    settings = Hyperparameters.check(
        **{
            "method": "full",
            "steps": 3,
            "views": 1,
            "learning_rate": 1e-4,
            "template": "An image of {class}",
            **options,
        }
    )
    task = Task(model, open_data(images), out)
    tune(task, settings, Execution(), new_accelerator(settings, Execution()))
    with (out / "training" / "log.csv").open() as file:
        log = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return log, load_file(out / "unet" / "diffusion_pytorch_model.safetensors")


def losses(log: list[dict[str, float]]) -> list[float]:
    return [row["loss"] for row in log]


def test_bf16_learns_the_same_in_half_precision(random_pipeline: Path, photos: Path, tmp_path: Path) -> None:
    """Other roundings than fp32's, and no more than that; what is written loads as any other pipeline's weights."""
    log, expected = tuned(random_pipeline, photos, tmp_path / "fp32")
    half, got = tuned(random_pipeline, photos, tmp_path / "bf16", mixed_precision="bf16")
    assert losses(half) != losses(log)
    assert losses(half) == pytest.approx(losses(log), rel=2e-2)
    before = load_file(random_pipeline / "unet" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in got.values()} == {torch.float32}
    one, other = (torch.cat([(after[key] - before[key]).flatten() for key in before]) for after in (got, expected))
    assert torch.cosine_similarity(one, other, dim=0) > 0.9


def test_the_learning_rate_rises_and_stays(random_pipeline: Path, photos: Path, tmp_path: Path) -> None:
    """The first step learns already, and the last of the warm-up at the whole rate."""
    log, _ = tuned(random_pipeline, photos, tmp_path / "out", warmup=2)
    assert [row["learning_rate"] for row in log] == pytest.approx([5e-5, 1e-4, 1e-4])


def test_prior_images_add_to_the_loss_by_their_weight(random_pipeline: Path, photos: Path, tmp_path: Path) -> None:
    """DreamBooth's sum: with weight 0 it is the loss of the real images alone, not half of it."""
    alone, _ = tuned(random_pipeline, photos, tmp_path / "alone", steps=2)
    without, _ = tuned(random_pipeline, photos, tmp_path / "without", steps=2, prior=2, prior_weight=0.0)
    added, _ = tuned(random_pipeline, photos, tmp_path / "added", steps=1, prior=2)
    assert losses(without) == pytest.approx(losses(alone), rel=1e-3)
    assert added[0]["loss"] > 1.5 * alone[0]["loss"]


def test_batches_that_do_not_divide_and_negative_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="does not divide over 3"):
        shares(8, 3, 0, 0)
    with pytest.raises(UserError, match="micro-batch of 3"):
        shares(8, 1, 0, 3)
    with pytest.raises(UserError, match="micro-batch of 9"):
        shares(8, 1, 0, 9)
    for name in ("micro_batch", "checkpoint_every", "validate_every"):
        with pytest.raises(UserError, match=f"`{name}` is -1; expected 0 or more"):
            Execution(**{name: -1})  # type: ignore[arg-type]


def test_due_at_multiples_and_at_the_end() -> None:
    assert [s for s in range(1, 8) if due(s, 3, 7)] == [3, 6, 7]
    assert [s for s in range(1, 8) if due(s, 0, 7)] == [7]


def test_weights_that_are_not_finite_are_never_written(
    random_pipeline: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of the last step is finite where its gradient is not: the weights after it would be NaN."""
    backward = Accelerator.backward

    def overflowing(self: Accelerator, part: Tensor) -> None:
        backward(self, part * 1e38 * 1e38)

    monkeypatch.setattr(Accelerator, "backward", overflowing)
    with pytest.raises(CheckFailed, match=r"the loss is \d.* and its gradient (nan|inf) at step 1; use a lower"):
        tuned(random_pipeline, photos, tmp_path / "out", steps=1)
    assert not (tmp_path / "out").exists()
