"""Whether skin types are missing at random: where a type is known in some classes only, it stands for the class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

#: Below this p and from this strength on, missing types are said to depend on the class.
P, STRENGTH = 0.001, 0.2


def warning(labels: Sequence[str], groups: Sequence[str | None]) -> str:
    """A sentence where the share of images with a skin type differs between classes; "" where it does not.

    By the chi-square test of class against type known or not, with Cramer's V for the strength (Cramer 1946). Classes
    of fewer than five images are left out, as the test's approximation fails there.

    Parameters
    ----------
    labels, groups
        Class and skin type of each image, None where unknown.
    """
    frame = pd.DataFrame({"label": list(labels), "known": [group is not None for group in groups]})
    table = pd.crosstab(frame["label"], frame["known"])
    table = table[table.sum(axis=1) >= 5]
    table = table.loc[:, table.sum() > 0]
    if len(table) < 2 or table.shape[1] < 2:
        return ""
    statistic, p = chi2_contingency(table, correction=False)[:2]
    strength = float(np.sqrt(statistic / table.to_numpy().sum()))  # two columns: the smaller side less one is 1
    if p >= P or strength < STRENGTH:
        return ""
    shares = (table[True] / table.sum(axis=1)).sort_values()
    extremes = dict([*shares.head(3).items(), *shares.tail(3).items()])
    listed = ", ".join(f"{share:.0%} of {name}" for name, share in extremes.items())
    return (
        f"skin types are not missing at random: known for {listed} (Cramer's V {strength:.2f}, p {p:.1g}); a "
        "comparison by skin type is then one of classes as well"
    )
