"""Which rows a share counts and which of them are right: an accuracy, a sensitivity or a specificity."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dermforge.common.errors import UserError
from evalsuite.fairness import metrics
from evalsuite.fairness.metric_key import MetricKey, ShareMetric
from evalsuite.fairness.predictions import Predictions


def share_rows(table: Predictions, column: str, metric: ShareMetric, positive: str = "") -> pd.DataFrame:
    """A row for each image: label, group, family (patient), whether the metric counts it, and whether it is right.

    Without a group column ("") all images are of one group; an image that the metric does not count is not right.

    Raises
    ------
    UserError
        No class `positive`, which a sensitivity and a specificity need.
    """
    of_class = metric is not ShareMetric.accuracy
    if of_class and positive not in table.classes:
        raise UserError(f"{table.source}: no class {positive!r} for the {metric}; it has {', '.join(table.classes)}")
    scored = metrics.score(table.probs, table.labels, table.classes, called=table.called)
    hits, rows = metrics.hits(MetricKey(metric.value, cls=positive if of_class else ""), scored)
    right, counts = np.zeros((2, table.n), dtype=bool)
    right[rows], counts[rows] = hits > 0, True
    return pd.DataFrame(
        {
            "label": table.labels,
            "group": table.groups[column] if column else "all",
            "family": table.ids if table.clusters is None else table.clusters,
            "counts": counts,
            "right": right,
        }
    )
