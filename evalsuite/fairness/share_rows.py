"""Which rows a share counts and which of them are right: an accuracy, a sensitivity or a specificity."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dermforge.common.errors import UserError
from evalsuite.fairness.metric_key import ShareMetric
from evalsuite.fairness.predictions import Predictions


def share_rows(table: Predictions, column: str, metric: ShareMetric, positive: str = "") -> pd.DataFrame:
    """A row for each image: label, group, family (patient), whether the metric counts it, and whether it is right.

    The likeliest class is the one that is called. Without a group column ("") all images are of one group.

    Raises
    ------
    UserError
        No class `positive`, which a sensitivity and a specificity need.
    """
    called = table.probs.argmax(axis=1)
    right, counts = called == table.labels, np.ones(table.n, dtype=bool)
    if metric is not ShareMetric.accuracy:
        if positive not in table.classes:
            raise UserError(
                f"{table.source}: no class {positive!r} for the {metric}; it has {', '.join(table.classes)}"
            )
        place, wanted = table.classes.index(positive), metric is ShareMetric.sensitivity
        counts = (table.labels == place) == wanted
        right = (called == place) == wanted
    return pd.DataFrame(
        {
            "label": table.labels,
            "group": table.groups[column] if column else "all",
            "family": table.ids if table.clusters is None else table.clusters,
            "counts": counts,
            "right": right,
        }
    )
