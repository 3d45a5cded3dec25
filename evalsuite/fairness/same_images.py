"""Two tables of predictions for the same images, row by row."""

from __future__ import annotations

import numpy as np

from dermforge.common.errors import UserError
from evalsuite.fairness.predictions import Predictions, some


def in_order_of(table: Predictions, other: Predictions) -> Predictions:
    """A table's rows in the order of another one's.

    Raises
    ------
    UserError
        The tables hold different ids, labels or classes: names them.
    """
    if table.classes != other.classes:
        raise UserError(
            f"{table.source}: classes {', '.join(table.classes)}; expected those of {other.source}: "
            f"{', '.join(other.classes)}"
        )
    place = {name: i for i, name in enumerate(table.ids.tolist())}
    if unmatched := set(place) ^ set(other.ids.tolist()):
        raise UserError(
            f"{other.source} and {table.source} hold different ids ({some(unmatched)}); they are compared on the same "
            "test set"
        )
    ordered = table.take(np.array([place[name] for name in other.ids.tolist()]))
    if (differ := ordered.labels != other.labels).any():
        raise UserError(f"{other.source} and {table.source} give different labels for ids {some(other.ids[differ])}")
    return ordered
