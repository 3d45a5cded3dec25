"""Distances and nearest neighbours in feature space, a block of rows at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalsuite.images.features.extract import Features

Array = NDArray[np.floating[Any]]
BLOCK = 1024  # rows of each side in memory


def distances(x: Array, y: Array) -> NDArray[np.float64]:
    """Euclidean distances [n, m] of [n, d] and [m, d]."""
    return np.asarray(np.sqrt(np.maximum(square_distances(x, y), 0)))


def square_distances(x: Array, y: Array) -> NDArray[np.float64]:
    """Squared Euclidean distances [n, m] of [n, d] and [m, d]; rounding may leave them a little below 0."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return np.asarray((x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T)


def unit_rows(x: Array) -> NDArray[np.float64]:
    """Rows [n, d] scaled to length 1; a row of zeros stays."""
    x = np.asarray(x, dtype=np.float64)
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))


def nearest_distance(queries: Array, known: Array) -> NDArray[np.float64]:
    """Distance of each query [n, d] to its nearest known feature [m, d], [n]."""
    best = np.full(len(queries), np.inf)
    for i in range(0, len(queries), BLOCK):
        for j in range(0, len(known), BLOCK):
            part = distances(queries[i : i + BLOCK], known[j : j + BLOCK]).min(1)
            best[i : i + BLOCK] = np.minimum(best[i : i + BLOCK], part)
    return best


def largest_cosine(queries: Features, train: Features, *, leave_out_self: bool = False) -> pd.DataFrame:
    """Largest cosine to a training image (-1 to 1) and that image's id: columns cosine and nearest, by query id.

    Parameters
    ----------
    leave_out_self
        Do not compare an image with the training image of the same id.
    """
    own, ids = queries.frame["id"].to_numpy(), train.frame["id"].to_numpy()
    best, row = np.full(len(own), -np.inf), np.zeros(len(own), dtype=np.intp)
    for i in range(0, len(own), BLOCK):
        x, part = unit_rows(queries.values[i : i + BLOCK]), slice(i, i + BLOCK)
        for j in range(0, len(ids), BLOCK):
            cosine = x @ unit_rows(train.values[j : j + BLOCK]).T
            if leave_out_self:
                cosine[own[part, None] == ids[None, j : j + BLOCK]] = -np.inf
            nearest = cosine.argmax(1)
            value = np.take_along_axis(cosine, nearest[:, None], 1)[:, 0]
            row[part] = np.where(value > best[part], j + nearest, row[part])
            best[part] = np.maximum(best[part], value)
    return pd.DataFrame({"cosine": best, "nearest": ids[row]}, index=own)
