"""A checkpoint's predictions on any images: the table that `evalsuite fairness` reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from evalsuite.study.arm import predictions_frame
from evalsuite.training import checkpoint, loop, model
from evalsuite.training.data import open_splits
from shards import ImageSet


def predict(
    folder: Path, images: ImageSet, *, allow_leakage: bool = False, tick: Callable[[int], None] | None = None
) -> pd.DataFrame:
    """Predictions of a checkpoint: id, label, prob_*, group columns, cluster.

    Raises
    ------
    UserError
        Images that the checkpoint or its generator has seen (their ids are named), or classes it does not know.
    """
    classifier, record = checkpoint.load(folder)
    if not allow_leakage:
        checkpoint.refuse_seen(
            record,
            folder,
            images.rows["id"].tolist(),
            images.rows["cluster"].dropna().tolist(),
            "predict on others, or pass --allow-leakage",
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pool = open_splits.load(images, record.classes, record.recipe.size, tick)
    mean, std = (t.to(device) for t in model.normaliser(classifier))
    scores = loop.logits(classifier.to(device), lambda x: (x.float() / 255 - mean) / std, pool, device)
    return predictions_frame(pool, scores.double().softmax(1))
