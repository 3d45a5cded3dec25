"""Keep or drop synthetic images by what real validation images look like; and judge the filter itself.

A filter can delete one skin type more than another, so every rejection rate is given per group, and a group that
loses more than the rest is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import fisher_exact
from sklearn.covariance import LedoitWolf

from dermforge.common.errors import UserError
from evalsuite.images.features.features import Features, ImageData, families
from evalsuite.images.quality.cells import FAMILIES, parts_of
from evalsuite.images.quality.utility import linear
from evalsuite.page.measurement import Measurement, frame_table, interval_texts
from evalsuite.stats.estimate import share
from evalsuite.stats.intervals import design_effect
from evalsuite.stats.resampling import codes_of

#: Scores where more is better, with what a low one means.
CRITERIA = {
    "recognised": "an independent classifier does not see the class",
    "typical": "far from all real images of the class",
    "on_tone": "not of the requested skin tone",
    "intact": "constant, saturated or empty",
    "novel": "a copy of a training image",
}
MIN_VALIDATION = 20


@dataclass(frozen=True)
class Filtered:
    """What a filter does.

    Attributes
    ----------
    table
        One row an image: id, class, group, strategy, scores, kept, reasons.
    rates
        Rejection, one row a cell, beside that of real validation images of the same cell (real_*).
    thresholds
        Least score of each criterion.
    real_rejection
        Share of real validation images that they drop.
    warnings
        Skin types that lose more than the others, among synthetic or among real images.
    """

    table: pd.DataFrame
    rates: pd.DataFrame
    thresholds: dict[str, float]
    real_rejection: float
    warnings: list[str]

    @property
    def kept(self) -> list[str]:
        """Ids that stay, sorted."""
        return sorted(self.table.loc[self.table["kept"], "id"])


def intactness(data: ImageData) -> dict[str, float]:
    """Spread of an image's lightness times the share of its pixels that is not burnt out or black, by id."""
    scores = {}
    for sample, image in data.images():
        grey = image.mean(-1)
        saturated = ((image >= 254).all(-1) | (image <= 1).all(-1)).mean()
        scores[sample.id] = float(grey.std() * (1 - saturated))
    return scores


def recognition(train: Features, judged: Features) -> dict[str, float]:
    """Probability of each image's own class by a linear classifier on real features; NaN for unknown classes."""
    labels = train.frame["class"].to_numpy(dtype=str)
    if len(set(labels)) < 2:
        raise UserError(f"the training images are all of the class {labels[0]}; a classifier needs two classes")
    model = linear().fit(train.take(np.arange(len(labels))), labels)
    probabilities = model.predict_proba(judged.take(np.arange(len(judged.frame))))
    column = {label: i for i, label in enumerate(model.classes_)}
    places = [column.get(label, -1) for label in judged.frame["class"]]
    own = [probabilities[i, c] if c >= 0 else np.nan for i, c in enumerate(places)]
    return dict(zip(judged.frame["id"], own, strict=True))


def typicality(train: Features, judged: Features, *, min_n: int = 10) -> dict[str, float]:
    """Minus the Mahalanobis distance to the class's real features (shrunk covariance, Ledoit & Wolf 2004)."""
    x, labels = train.take(np.arange(len(train.frame))), train.frame["class"].to_numpy(dtype=str)
    centred = np.concatenate([x[labels == c] - x[labels == c].mean(0) for c in sorted(set(labels))])
    precision = LedoitWolf(assume_centered=True).fit(centred).precision_
    means = {c: x[labels == c].mean(0) for c in set(labels) if (labels == c).sum() >= min_n}
    values = judged.take(np.arange(len(judged.frame)))
    scores = {}
    for i, (id, label) in enumerate(zip(judged.frame["id"], judged.frame["class"], strict=True)):
        away = values[i] - means[label] if label in means else np.full(values.shape[1], np.nan)
        scores[id] = -float(np.sqrt(away @ precision @ away))
    return scores


def thresholds_from(real: Mapping[str, Mapping[str, float]], rejection: float) -> tuple[dict[str, float], float]:
    """Least score of every criterion such that together they drop at most `rejection` of real validation images.

    All criteria use one quantile of the real scores; the largest that keeps the joint rate is taken.
    """
    frame = pd.DataFrame(real)
    if len(frame) < MIN_VALIDATION:
        raise UserError(
            f"{len(frame)} real validation images to set thresholds by; expected at least "
            f"{MIN_VALIDATION}: `shards make --split` gives that part more"
        )
    best: tuple[dict[str, float], float] = (dict.fromkeys(frame.columns, -np.inf), 0.0)
    for quantile in np.linspace(0, rejection, 41):
        cuts = {name: float(frame[name].quantile(quantile, interpolation="lower")) for name in frame.columns}
        rate = float((frame < pd.Series(cuts)).any(axis=1).mean())
        if rate > rejection:
            break
        best = cuts, rate
    return best


def apply(
    judged: pd.DataFrame,
    scores: Mapping[str, Mapping[str, float]],
    thresholds: Mapping[str, float],
    real_rejection: float,
    *,
    real: pd.DataFrame | None = None,
    keep_balance: bool = False,
) -> Filtered:
    """Drop what falls below any threshold.

    Parameters
    ----------
    judged
        id, class, group, strategy; parent and cluster where known, by which intervals see what belongs together.
    scores
        Criterion -> id -> score; a missing score does not drop an image.
    real
        Real validation images, class, group and kept: a filter that drops real images of one skin type more often
        judges that skin type by a stricter rule.
    keep_balance
        Drop the worst of the fuller cells (class x group) too, so that all keep the same share of their images.
    """
    frame = judge(judged, scores, thresholds)
    if keep_balance:
        extra = _surplus(frame, list(thresholds))
        frame.loc[extra, "kept"] = False
        frame.loc[extra, "reasons"] = "balance"
    rates, warnings = rejection_rates(frame), unequal_groups(frame)
    if real is not None:
        known = rejection_rates(real)[["family", "cell", "n", "rate", "low", "high"]]
        known.columns = ["family", "cell", *(f"real_{name}" for name in known.columns[2:])]
        rates = rates.merge(known, on=["family", "cell"], how="left")
        warnings = warnings + unequal_groups(real, of="real images of ")
    return Filtered(frame, rates, dict(thresholds), real_rejection, warnings)


def judge(
    judged: pd.DataFrame, scores: Mapping[str, Mapping[str, float]], thresholds: Mapping[str, float]
) -> pd.DataFrame:
    """id, class, group, strategy, parent, cluster, a column for each score, kept, and the reasons why not."""
    columns = ["id", "class", "group", "strategy", "parent", "cluster"]
    frame = judged.reset_index(drop=True).reindex(columns=columns).astype(object)
    for name in thresholds:
        frame[name] = frame["id"].map(scores[name]).astype(float)
    failed = pd.DataFrame({name: frame[name] < low for name, low in thresholds.items()}, index=frame.index)
    frame["reasons"] = [", ".join(c for c in failed.columns if row[c]) for _, row in failed.iterrows()]
    frame["kept"] = ~failed.any(axis=1)
    return frame


def _surplus(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.intp]:
    """Rows to drop beside the failed ones so that each cell keeps the share that the worst-hit cell keeps."""
    cells = frame.groupby(["class", "group"], dropna=False)
    share = float(cells["kept"].mean().min())
    rank = frame[list(names)].rank(pct=True).min(axis=1)
    drop: list[int] = []
    for _, cell in cells:
        surplus = int(cell["kept"].sum()) - int(np.ceil(share * len(cell) - 1e-9))
        if surplus > 0:
            drop += rank[cell.index[cell["kept"]]].nsmallest(surplus).index.tolist()
    return np.array(drop, dtype=np.intp)


def rejection_rates(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a cell: n, rejected, rate, low, high."""
    records = []
    for family, keys in FAMILIES.items():
        for name, cell in parts_of(frame, keys):
            estimate = share(~cell["kept"].to_numpy(dtype=bool), families(cell))
            records.append(
                {
                    "family": family,
                    "cell": name,
                    "n": len(cell),
                    "rejected": int((~cell["kept"]).sum()),
                    "rate": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                }
            )
    return pd.DataFrame(records)


def unequal_groups(frame: pd.DataFrame, alpha: float = 0.05, of: str = "") -> list[str]:
    """Groups that lose more than all others together (Fisher's exact test, Holm's correction).

    Counts shrink by the design effect where images come from one photograph or patient (Rao & Scott 1992).
    """
    known = frame[frame["group"].notna()]
    tests = []
    for group, part in known.groupby("group"):
        rest = known[known["group"] != group]
        if len(rest) and len(part):
            counts = [_counts(part), _counts(rest)]
            tests.append((float(fisher_exact(counts, alternative="greater")[1]), str(group), part, rest))
    warnings = []
    for i, (p, group, part, rest) in enumerate(sorted(tests, key=lambda t: t[0])):
        if p * (len(tests) - i) > alpha:
            break
        lost, other = share(~part["kept"].to_numpy(dtype=bool), families(part)), float((~rest["kept"]).mean())
        warnings.append(
            f"the filter drops {lost.value:.0%} ({lost.low:.0%} to {lost.high:.0%}) of {of}group {group} and "
            f"{other:.0%} of the others: it would change the balance of skin types"
        )
    return warnings


def _counts(part: pd.DataFrame) -> list[int]:
    """Dropped and kept, as independent images would count."""
    dropped = ~part["kept"].to_numpy(dtype=bool)
    effect = design_effect(dropped.astype(np.float64), codes_of(families(part), len(part)))
    return [round(float(count) / effect) for count in (dropped.sum(), (~dropped).sum())]


def filter_section(done: Filtered) -> Measurement:
    """The part of the report on the filter."""
    text = f"{done.table['kept'].mean():.0%} of the images stay; "
    text += f"the same thresholds drop {done.real_rejection:.1%} of real images. "
    text += " ".join(f"Warning: {w}." for w in done.warnings)
    why = done.table.loc[~done.table["kept"], "reasons"].str.split(", ").explode().value_counts()
    reasons = pd.DataFrame(
        {
            "reason": [f"{name}: {CRITERIA.get(name, 'the balance of cells was kept')}" for name in why.index],
            "images": why.to_numpy(),
        }
    )
    groups = done.rates["family"] == "group"
    cells = done.rates["family"].isin(["overall", "class", "strategy"])
    return Measurement(
        "Filter",
        text.strip(),
        "warn" if done.warnings else "good",
        {
            "utility": [
                frame_table(reasons, "Why images were dropped"),
                frame_table(_rates_shown(done.rates[cells]), "Rejected share of each class and strategy"),
            ],
            "fairness": [frame_table(_rates_shown(done.rates[groups]), "Rejected share of each skin type")],
        },
    )


def _rates_shown(rates: pd.DataFrame) -> pd.DataFrame:
    """For readers: beside the share of real images where those are known."""
    shown = {"cell": rates["cell"], "images": rates["n"], "dropped": rates["rejected"], "share": interval_texts(rates)}
    if "real_n" in rates:
        real = [None if np.isnan(n) else f"{n:.0f}" for n in rates["real_n"]]
        shown |= {"real images": real, "share of those": interval_texts(rates, "real_rate", "real_low", "real_high")}
    return pd.DataFrame(shown)
