"""Keep or drop synthetic images by thresholds that real validation images set.

A filter can drop one skin type more often than another, so every rejection rate is given per group, and a group that
loses more than the rest is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from dermforge.common.errors import UserError
from dermforge.common.least_numbers import FILTER_VALIDATION
from evalsuite.images.cells import share_table
from evalsuite.images.filter.scores import CRITERIA
from evalsuite.images.image_data import families
from evalsuite.page.image_check import ImageCheck, frame_table, interval_texts
from evalsuite.stats import clusters
from evalsuite.stats.estimate import share
from evalsuite.stats.resampling import codes_of

#: Least share of images that is left where nothing is wrong.
LEAST_KEPT = 0.5


@dataclass(frozen=True)
class Filtered:
    """What a filter keeps and drops."""

    images: pd.DataFrame  # one row per image: id, class, group, strategy, scores, kept, reasons
    rates: pd.DataFrame  # one row per cell, next to the rates of real validation images of that cell (real_*)
    thresholds: dict[str, float]  # least score of each criterion
    real_rejection: float  # share of real validation images that the thresholds drop
    warnings: list[str]  # too few images left; skin types that lose more than others, among synthetic or real images

    @property
    def kept(self) -> list[str]:
        """Ids of the kept images, sorted."""
        return sorted(self.images.loc[self.images["kept"], "id"])


def thresholds_from(real: Mapping[str, Mapping[str, float]], rejection: float) -> tuple[dict[str, float], float]:
    """Least score of every criterion, and the share of real validation images that they drop together.

    All criteria use one quantile of the `real` scores (criterion -> id -> score): the largest with which that share is
    at most `rejection`. UserError with fewer than `FILTER_VALIDATION` images.
    """
    frame = pd.DataFrame(real)
    if len(frame) < FILTER_VALIDATION:
        raise UserError(
            f"{len(frame)} real validation images to set the thresholds; expected at least {FILTER_VALIDATION}: "
            "`shards make` proposes a split that has them; split before a generator is tuned"
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
        id, class, group, strategy; and where known parent and cluster, which make up the families of the intervals.
    scores
        Criterion -> id -> score; a missing score does not drop an image.
    real
        Real validation images with class, group and kept. A filter that drops real images of one skin type more often
        judges that skin type more strictly.
    keep_balance
        Also drop the worst images of the fuller cells (class x group), so that all keep the same share of their images.
    """
    frame = judge(judged, scores, thresholds)
    if keep_balance:
        extra = _surplus(frame, list(thresholds))
        frame.loc[extra, "kept"] = False
        frame.loc[extra, "reasons"] = "balance"
    rates, warnings = rejection_rates(frame), too_few_left(frame) + unequal_groups(frame)
    if real is not None:
        known = rejection_rates(real)[["family", "cell", "n", "rate", "low", "high"]]
        known.columns = ["family", "cell", *(f"real_{name}" for name in known.columns[2:])]
        rates = rates.merge(known, on=["family", "cell"], how="left")
        warnings = warnings + unequal_groups(real, of="real images of ")
    return Filtered(frame, rates, dict(thresholds), real_rejection, warnings)


def judge(
    judged: pd.DataFrame, scores: Mapping[str, Mapping[str, float]], thresholds: Mapping[str, float]
) -> pd.DataFrame:
    """Columns id, class, group, strategy, parent, cluster, each score, kept, and the reasons for dropping an image."""
    columns = ["id", "class", "group", "strategy", "parent", "cluster"]
    frame = judged.reset_index(drop=True).reindex(columns=columns).astype(object)
    for name in thresholds:
        frame[name] = frame["id"].map(scores[name]).astype(float)
    failed = pd.DataFrame({name: frame[name] < low for name, low in thresholds.items()}, index=frame.index)
    frame["reasons"] = [", ".join(c for c in failed.columns if row[c]) for _, row in failed.iterrows()]
    frame["kept"] = ~failed.any(axis=1)
    return frame


def _surplus(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.intp]:
    """Rows to drop in addition, so that each cell keeps the same share as the cell that lost most."""
    cells = frame.groupby(["class", "group"], dropna=False)
    least = float(cells["kept"].mean().min())
    rank = frame[list(names)].rank(pct=True).min(axis=1)
    drop: list[int] = []
    for _, cell in cells:
        surplus = int(cell["kept"].sum()) - int(np.ceil(least * len(cell) - 1e-9))
        drop += rank[cell.index[cell["kept"]]].nsmallest(max(surplus, 0)).index.tolist()
    return np.array(drop, dtype=np.intp)


def rejection_rates(frame: pd.DataFrame) -> pd.DataFrame:
    """Share of dropped images, one row per cell: family, cell, n, rejected, rate, low, high."""
    return share_table(frame.assign(rejected=~frame["kept"].astype(bool)), "rejected", "rejected")


def too_few_left(frame: pd.DataFrame) -> list[str]:
    """What is wrong with the number of kept images, in words: none, none of a class or skin type, or a small share."""
    kept = frame["kept"].astype(bool)
    if not kept.any():
        return [
            f"none of the {len(frame)} images is left: the generator needs work, or the thresholds fit no such image"
        ]
    said = [
        f"none of the {len(part)} images of {column} {name} is left"
        for column in ("class", "group")
        for name, part in frame.groupby(column)
        if not part["kept"].any()
    ]
    if kept.mean() < LEAST_KEPT:
        said.append(f"only {kept.sum()} of {len(frame)} images are left: the generator needs work, and not the filter")
    return said


def unequal_groups(frame: pd.DataFrame, alpha: float = 0.05, of: str = "") -> list[str]:
    """Groups that lose more than all others together (Fisher's exact test, Holm's correction), in words.

    Counts are divided by the design effect where images come from one photograph or patient (Rao & Scott 1992).
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
    """Dropped and kept images, as numbers of independent ones."""
    dropped = ~part["kept"].to_numpy(dtype=bool)
    effect = clusters.design(dropped.astype(np.float64), codes_of(families(part), len(part))).effect
    return [round(float(count) / effect) for count in (dropped.sum(), (~dropped).sum())]


def filter_section(done: Filtered, leakage: Sequence[str] = ()) -> ImageCheck:
    """The section of the page on the filter; `leakage`: what its generator saw and must not have."""
    text = f"{len(done.kept)} of {len(done.images)} images ({done.images['kept'].mean():.0%}) are kept; "
    text += f"the same thresholds drop {done.real_rejection:.1%} of real images. "
    text += " ".join(f"Warning: {w}." for w in done.warnings)
    text += "".join(f" Leakage: {leak}." for leak in leakage)
    why = done.images.loc[~done.images["kept"], "reasons"].str.split(", ").explode().value_counts()
    named = [f"{name}: {CRITERIA.get(name, 'to keep the balance of cells')}" for name in why.index]
    reasons = pd.DataFrame({"reason": named, "images": why.to_numpy()})
    groups = done.rates["family"] == "group"
    whole = done.rates["family"].isin(["overall", "class", "group"])
    emptied = bool((done.rates["rejected"] == done.rates["n"])[whole].any())
    cells = done.rates["family"].isin(["overall", "class", "strategy"])
    return ImageCheck(
        "Filter",
        text.strip(),
        "bad" if leakage or emptied else "warn" if done.warnings else "good",
        {
            "utility": [
                frame_table(reasons, "Why images were dropped"),
                frame_table(_rates_shown(done.rates[cells]), "Rejected share of each class and strategy"),
            ],
            "fairness": [frame_table(_rates_shown(done.rates[groups]), "Rejected share of each skin type")],
        },
    )


def _rates_shown(rates: pd.DataFrame) -> pd.DataFrame:
    """Shown columns, with the share of real images where that is known."""
    shown = {"cell": rates["cell"], "images": rates["n"], "dropped": rates["rejected"], "share": interval_texts(rates)}
    if "real_n" in rates:
        texts = interval_texts(rates, "real_rate", "real_low", "real_high")
        known = ~rates["real_n"].isna()  # a strategy has no real images
        shown["real images"] = [
            f"{n:.0f}" if is_known else "" for n, is_known in zip(rates["real_n"], known, strict=True)
        ]
        shown["share of those"] = [text if is_known else "" for text, is_known in zip(texts, known, strict=True)]
    return pd.DataFrame(shown)
