"""The features of a frozen body, computed once for all images of a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError
from dermforge.common.sealed_parquet import sealed
from evalsuite.study.design import Design
from evalsuite.training import checkpoint, frozen_features
from evalsuite.training import model as models
from evalsuite.training.data import datasets, feature_table
from evalsuite.training.recipe import SCRATCH

FEATURES = "features.parquet"


def needed(design: Design) -> bool:
    """Whether a study works on features that nobody has computed yet."""
    return design.recipe.tuning == "features" and design.places.features is None


def compute(design: Design, opened: datasets.Data, out: Path, body: Path | None, tick: Callable[[int], None]) -> Design:
    """Write the table of features; the design that reads it.

    Parameters
    ----------
    body
        A checkpoint whose body gives the features; None: the recipe's own model and weights.

    Raises
    ------
    UserError
        The body has seen test images, or has learnt nothing.
    """
    notes = design.notes
    if body is not None:
        network, record = checkpoint.load(body)
        checkpoint.refuse_seen(record, body, opened.test, "use another body")
        notes += (
            f"The frozen body was trained on {len(record.images['train'])} real images before; arms with fewer "
            "profit from those, with and without synthetic images alike.",
        )
    elif design.recipe.weights == SCRATCH:
        raise UserError(
            " ".join(
                ["features need a body that has learnt something: give weights, or the checkpoint of a body.", *notes]
            )
        )
    else:
        network = models.build(design.recipe, len(opened.classes))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    done = [frozen_features.extract(network, images, device, tick=tick) for images in opened.parts.values()]
    frame = feature_table.to_frame(done, np.concatenate([opened.makers[name] for name in opened.parts]))
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / FEATURES, sealed(frame))
    places = design.places.model_copy(update={"features": out / FEATURES})
    return design.model_copy(update={"places": places, "notes": notes})
