"""A checkpoint's predictions on any images: the table that `evalsuite fairness` reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from evalsuite.predictions import some
from evalsuite.training import checkpoint, data, loop, model
from evalsuite.training.arm import predictions_frame
from shards import ImageSet
from shards.errors import UserError


def predict(
    folder: Path, images: ImageSet, *, allow_leakage: bool = False, tick: Callable[[int], None] | None = None
) -> pd.DataFrame:
    """Predictions of a checkpoint: id, label, prob_*, group columns, cluster.

    Raises
    ------
    UserError
        Images that the checkpoint was trained or validated on (their ids are named), or classes it does not know.
    """
    classifier, record = checkpoint.load(folder)
    for part, ids in record.images.items():
        shared = set(images.rows["id"]) & set(ids)
        if shared and not allow_leakage:
            raise UserError(f"{len(shared)} images were in the {part} set of {folder} ({some(shared, 20)}); predict on "
                            "others, or pass --allow-leakage")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pool = data.load(images, record.classes, record.recipe.size, tick)
    mean, std = (t.to(device) for t in model.normaliser(classifier))
    scores = loop.logits(classifier.to(device), lambda x: (x.float() / 255 - mean) / std, pool, device)
    return predictions_frame(pool, scores.double().softmax(1))
