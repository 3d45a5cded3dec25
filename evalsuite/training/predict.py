"""Predictions of a classifier on any images: the table that `evalsuite fairness` reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from dermforge.common.errors import UserError
from evalsuite.fairness.own_columns import PREFIX
from evalsuite.training import checkpoint, loop, preprocessing
from evalsuite.training.data.open_splits import check_classes
from shards import ImageSet
from shards.ingest.refuse_marked import refuse_marked
from shards.mixing.tensors import TensorSet


def predict(
    folder: Path, images: ImageSet, *, allow_leakage: bool = False, tick: Callable[[int], None] = lambda n: None
) -> pd.DataFrame:
    """Predictions of a checkpoint: id, label, prob_*, group columns, cluster.

    Raises
    ------
    UserError
        Images that the checkpoint or its generator has seen (their ids are named), or classes it does not know.
    """
    classifier, record = checkpoint.load(folder)
    if not allow_leakage:
        checkpoint.refuse_seen(record, folder, images, "predict on others, or set `allow_leakage`")
    if not images.n:
        raise UserError(f"{images} holds no images")
    refuse_marked(images.where(origin=("real", "phantom")), "real images")
    check_classes(images.rows["class"], record.classes, str(images))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prepare = preprocessing.evaluation_input(classifier, device)
    squares = TensorSet([images], record.recipe.size, classes=record.classes)
    scores = loop.logits(classifier.to(device), prepare, squares, device, tick)
    return predictions_frame(squares, scores.double().softmax(1), record.recipe.summary())


def predictions_frame(images: ImageSet, probabilities: Tensor, classifier: str = "") -> pd.DataFrame:
    """The predictions table: id, label, a column of probabilities a class, groups and, where there are any, clusters.

    Parameters
    ----------
    probabilities
        [n, k], in the order of the images' classes.
    classifier
        Whose they are, kept in `attrs`.
    """
    rows = images.rows
    frame = rows[["id", "class"]].rename(columns={"class": "label"}).astype(str)
    values = probabilities.double()
    values = values / values.sum(1, keepdim=True)
    for index, name in enumerate(images.classes):
        frame[PREFIX + name] = values[:, index].numpy()
    frame["group"] = rows["group"].fillna("unknown").astype(str)
    attributes = [held or {} for held in rows["attributes"]] if "attributes" in rows else []
    for name in sorted({key for held in attributes for key in held} - {"group", "id", "label", "cluster"}):
        frame[name] = [held.get(name, "unknown") for held in attributes]
    clusters = rows["cluster"].fillna(rows["id"]).astype(str)
    if (clusters != frame["id"]).any():
        frame["cluster"] = clusters
    if "parent" in rows and (rows["parent"].fillna("") != "").any():
        frame["parent"] = rows["parent"].fillna("").astype(str)
    frame.attrs["classifier"] = classifier
    return frame
