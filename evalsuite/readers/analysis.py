"""The MRMC analysis of a table of ratings: all cases, each group of cases, each reader."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from dermforge.common.as_json import plain
from dermforge.common.errors import UserError
from dermforge.common.least_numbers import GROUP_IMAGES
from dermforge.common.missing import UNKNOWN
from evalsuite.fairness.predictions import levels
from evalsuite.readers import dorfman_berbaum_metz, obuchowski_rockette
from evalsuite.readers.choices import CovarianceMethod, Fixed, Metric
from evalsuite.readers.covariance import covariance, figures, leave_one_out
from evalsuite.readers.dorfman_berbaum_metz import PseudovalueAnova
from evalsuite.readers.obuchowski_rockette import Analysis, Components, Difference, components
from evalsuite.readers.ratings import Ratings
from evalsuite.stats.hypothesis_tests import holm
from evalsuite.stats.verdict import Verdict, verdict


@dataclass(frozen=True)
class ReaderSettings:
    """How readers are compared.

    Attributes
    ----------
    threshold
        The rating from which a case is called positive, for a sensitivity or a specificity.
    fixed
        What the answer does not reach beyond.
    margin
        Differences up to this do not matter; named before the study.
    """

    metric: Metric = Metric.auroc
    threshold: float = math.nan
    method: CovarianceMethod = CovarianceMethod.jackknife
    fixed: Fixed = Fixed.neither
    confidence: float = 0.95
    margin: float = 0.02


@dataclass(frozen=True)
class CaseSet:
    """The comparison on some cases: all of them, or those of one group.

    Attributes
    ----------
    lacking
        Why there is no judgement; empty where there is one.
    figures, covariance
        Of each modality and reader, [modalities, readers], and between them, the readers counting fastest.
    analyses
        With nothing, readers or cases fixed; without those that one reader cannot give.
    p_holm
        Of the first difference, corrected for the number of groups; NaN outside that family.
    """

    name: str
    cases: int
    positive: int
    patients: int
    lacking: str
    figures: NDArray[np.floating]
    covariance: NDArray[np.floating]
    components: Components
    analyses: dict[Fixed, Analysis]
    p_holm: float = math.nan

    def difference(self, fixed: Fixed) -> Difference | None:
        """The second modality less the first."""
        found = self.analyses.get(fixed)
        return found.differences[0] if found and found.differences and not self.lacking else None

    def verdict(self, settings: ReaderSettings) -> Verdict:
        """What the interval of the first difference allows to say; of several groups or modalities, also Holm's p."""
        found = self.difference(settings.fixed)
        if found is None:
            return "not enough data"
        said = verdict(found.value, found.low, found.high, settings.margin)
        among = holm(np.array([one.p for one in self.analyses[settings.fixed].differences]))[0]
        by_luck = any(p > 1 - settings.confidence for p in (self.p_holm, among)) and said in ("helps", "hurts")
        return "cannot be determined" if by_luck else said


@dataclass(frozen=True)
class ReaderAnalysis:
    """What a table of ratings says; `readers` has a row for each reader and each later modality against the first."""

    source: str
    settings: ReaderSettings
    modalities: tuple[str, ...]
    reader_names: tuple[str, ...]
    whole: CaseSet
    groups: tuple[CaseSet, ...]
    readers: pd.DataFrame
    pseudovalues: PseudovalueAnova | None
    left_out: tuple[str, ...]
    group_column: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain values, with the verdicts."""
        sets = {"all": self._of(self.whole), "groups": {one.name: self._of(one) for one in self.groups}}
        found = {
            "source": self.source,
            "settings": asdict(self.settings),
            "modalities": self.modalities,
            "reader_names": self.reader_names,
            "readers": self.readers.to_dict("records"),
            "pseudovalues": self.pseudovalues,
            "left_out": self.left_out,
            "group_column": self.group_column,
        }
        return dict(plain(found | sets))

    def _of(self, one: CaseSet) -> dict[str, Any]:
        return {**asdict(one), "verdict": one.verdict(self.settings)}


def analyse(ratings: Ratings, settings: ReaderSettings = ReaderSettings(), group_column: str = "") -> ReaderAnalysis:
    """Compare the modalities of a table of ratings.

    Raises
    ------
    UserError
        There is one reader and readers are not fixed, or a share has no threshold.
    """
    if settings.metric is not Metric.auroc and not math.isfinite(settings.threshold):
        raise UserError(f"a {settings.metric} needs a threshold: the rating from which a case is called positive")
    if len(ratings.readers) == 1 and settings.fixed is not Fixed.readers:
        raise UserError(
            f"{ratings.source}: one reader, {ratings.readers[0]!r}; nothing follows for other readers: "
            "take readers as fixed"
        )
    whole = _case_set("all", ratings, settings)
    parts = []
    if ratings.groups is not None:
        names = levels(ratings.groups.tolist())
        parts = [_case_set(name, ratings.take(ratings.groups == name), settings) for name in names]
    return ReaderAnalysis(
        ratings.source,
        settings,
        ratings.modalities,
        ratings.readers,
        whole,
        _corrected(parts, settings.fixed),
        _by_reader(whole, ratings, settings.confidence),
        None if whole.lacking else _pseudovalues(ratings, settings, whole.figures),
        ratings.left_out,
        group_column,
    )


def _case_set(name: str, ratings: Ratings, settings: ReaderSettings) -> CaseSet:
    positive, patients = int(ratings.positive.sum()), len(np.unique(ratings.units))
    t, r = len(ratings.modalities), len(ratings.readers)
    lacking = _lacking(ratings, settings.metric)
    if lacking:
        found, shared = np.full((t, r), math.nan), np.full((t * r, t * r), math.nan)
    else:
        found = figures(ratings, settings.metric, settings.threshold)
        shared = covariance(ratings, settings.metric, settings.threshold, settings.method)
    kinds = [Fixed.readers] if r == 1 else list(Fixed)
    analyses = {
        kind: obuchowski_rockette.analyse(ratings.modalities, found, shared, kind, settings.confidence)
        for kind in kinds
    }
    parts = components(found, shared)
    return CaseSet(name, len(ratings.cases), positive, patients, lacking, found, shared, parts, analyses)


def _lacking(ratings: Ratings, metric: Metric) -> str:
    """What lacks for a judgement: cases, or patients, on each side that the metric uses."""
    sides = {"positive": ratings.positive, "negative": ~ratings.positive}
    if metric is not Metric.auroc:
        del sides["negative" if metric is Metric.sensitivity else "positive"]
    for name, side in sides.items():
        found = len(np.unique(ratings.units[side]))
        if found < GROUP_IMAGES:
            what = "cases" if ratings.clusters is None else "patients"
            return f"{found} {name} {what}, at least {GROUP_IMAGES} are needed"
    return ""


def _corrected(parts: list[CaseSet], fixed: Fixed) -> tuple[CaseSet, ...]:
    """With Holm's p over the groups that are known and judged."""
    judged = [i for i, one in enumerate(parts) if one.name != UNKNOWN and one.difference(fixed) is not None]
    found = [parts[i].difference(fixed) for i in judged]
    adjusted = holm(np.array([one.p for one in found if one is not None]))
    out = list(parts)
    for i, p in zip(judged, adjusted, strict=True):
        out[i] = replace(parts[i], p_holm=float(p))
    return tuple(out)


def _by_reader(whole: CaseSet, ratings: Ratings, confidence: float) -> pd.DataFrame:
    """Each reader in each later modality against the first; the errors are those of the cases alone."""
    found, shared = whole.figures, whole.covariance
    r, z = len(ratings.readers), float(norm.ppf(0.5 + confidence / 2))
    rows = []
    for j, reader in enumerate(ratings.readers):
        for i, modality in enumerate(ratings.modalities[1:], start=1):
            a, b = j, i * r + j
            variance = float(shared[a, a] + shared[b, b] - 2 * shared[a, b])
            value = float(found[i, j] - found[0, j])
            error = math.sqrt(variance) if variance > 0 else math.nan
            rows.append(
                {
                    "reader": reader,
                    "modality": modality,
                    "against": ratings.modalities[0],
                    "a": float(found[0, j]),
                    "b": float(found[i, j]),
                    "difference": value,
                    "low": value - z * error,
                    "high": value + z * error,
                    "error": error,
                    "p": float(2 * norm.sf(abs(value) / error)),
                }
            )
    return pd.DataFrame(rows)


def _pseudovalues(ratings: Ratings, settings: ReaderSettings, found: NDArray[np.floating]) -> PseudovalueAnova | None:
    """Dorfman, Berbaum & Metz' analysis, where there are two readers and two modalities."""
    if min(found.shape) < 2:
        return None
    without = leave_one_out(ratings, settings.metric, settings.threshold)
    return dorfman_berbaum_metz.analyse(dorfman_berbaum_metz.pseudovalues(found, without))
