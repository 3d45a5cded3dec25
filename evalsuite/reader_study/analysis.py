"""Analysis of a reader study: discrimination, agreement, differences between groups, and the classifier's gain."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from dermforge.common.command_line import typed
from dermforge.common.errors import UserError
from dermforge.common.tables import read_table
from evalsuite.page.image_check import ImageCheck, Status, frame_table, told_apart
from evalsuite.reader_study.answers import read as read_answers
from evalsuite.reader_study.blinded_set import KEY, RESPONSES, BlindedSet, open_study
from evalsuite.stats.estimate import Estimate, bootstrap_of, missing, share

MIN_ITEMS, RESAMPLES = 10, 500
#: What the columns are called in the report.
SHOWN = {
    "discrimination": "real or synthetic: AUC",
    "realism_real": "realism of real images, 1 to 5",
    "realism_synthetic": "of synthetic ones",
    "diagnosis_real": "right class, real images",
    "diagnosis_synthetic": "right class, synthetic",
    "group_real": "right skin type, real images",
    "group_synthetic": "right skin type, synthetic",
}


@dataclass(frozen=True)
class Readings:
    """answers: one row per answer (`load`); readers, cells, agreement: one row per reader, cell and question."""

    answers: pd.DataFrame
    readers: pd.DataFrame
    cells: pd.DataFrame
    agreement: pd.DataFrame
    gain: Estimate | None


def analyse(folder: Path, gains: pd.DataFrame | None = None) -> Readings:
    """Analyse a study's answers; with the classifier's gains (columns class and gain) also their correlation."""
    study, answers = load(folder)
    gain = None if gains is None else gain_correlation(answers, gains)
    return Readings(answers, reader_table(answers), group_table(answers), agreement(answers, study), gain)


def load(folder: Path) -> tuple[BlindedSet, pd.DataFrame]:
    """All answers with the truth: reader, item, realism (1 to 5), diagnosis, group, truth_*, id.

    Where an item was answered twice, the last answer counts.
    """
    study = open_study(folder)
    files = sorted((folder / RESPONSES).glob("*.csv"))
    if not files:
        raise UserError(
            f"{folder}: no answers yet; serve it with {typed('evalsuite', 'reader-study', 'serve', folder)}"
        )
    answers = pd.concat([read_answers(f) for f in files], ignore_index=True).fillna("")
    wrong = {"reader", "item", "realism", "diagnosis", "group"} - set(answers.columns)
    if wrong:
        raise UserError(f"{folder / RESPONSES}: the answers have no column {min(wrong)!r}")
    answers = answers.drop_duplicates(["reader", "item"], keep="last")
    if not (folder / KEY).is_file():
        raise UserError(f"{folder / KEY} is missing: without the truth the answers cannot be scored; put it back")
    key = read_table(folder / KEY).fillna("")
    key = key.rename(columns={"origin": "truth", "class": "truth_diagnosis", "group": "truth_group"})
    for column, known in (("item", list(key["item"])), ("realism", study.realism)):
        strange = answers[~answers[column].isin(known)]
        if len(strange):
            first = strange.iloc[0]
            file = folder / RESPONSES / f"{first['reader']}.csv"
            raise UserError(
                f"{file}: the {column} {first[column]!r} is not of this study ({len(strange)} such rows); "
                "correct or remove them"
            )
    answers = answers.merge(key, on="item", how="inner")
    answers["realism"] = answers["realism"].map({word: i + 1 for i, word in enumerate(study.realism)}).astype(float)
    return study, answers


def reader_table(answers: pd.DataFrame, *, resamples: int = 500) -> pd.DataFrame:
    """One row for all readers and one per reader: AUC of realism (real against synthetic), accuracies, mean realism."""
    parts = [("all", answers), *answers.groupby("reader")]
    return pd.DataFrame({"reader": name, **_judge(part, resamples)} for name, part in parts)


def group_table(answers: pd.DataFrame, *, resamples: int = 500) -> pd.DataFrame:
    """One row per true skin type and per true class, over all readers."""
    records = []
    for column in ("truth_group", "truth_diagnosis"):
        for name, part in answers.groupby(column):
            family = column.removeprefix("truth_")
            records.append({"family": family, "cell": name, **_judge(part, resamples)})
    return pd.DataFrame(records)


def _judge(part: pd.DataFrame, resamples: int) -> dict[str, object]:
    real, synthetic = part[part["truth"] == "real"], part[part["truth"] == "synthetic"]
    return {
        "answers": len(part),
        "discrimination": discrimination(part, resamples),
        "realism_real": float(real["realism"].mean()),
        "realism_synthetic": float(synthetic["realism"].mean()),
        "diagnosis_real": _share(real, "diagnosis"),
        "diagnosis_synthetic": _share(synthetic, "diagnosis"),
        "group_real": _share(real, "group"),
        "group_synthetic": _share(synthetic, "group"),
    }


def _share(part: pd.DataFrame, column: str) -> Estimate:
    """Clustered by item: readers of the same image answer alike, so many readers do not count as many images."""
    return share((part[column] == part[f"truth_{column}"]).to_numpy(), part["item"].to_numpy())


def discrimination(part: pd.DataFrame, resamples: int = 500) -> Estimate:
    """AUC of the realism rating for real against synthetic; 0.5: no better than chance. Resampled by item."""
    if part["item"].nunique() < MIN_ITEMS or part["truth"].nunique() < 2:
        return missing(len(part), "too few items")
    items, codes = np.unique(part["item"], return_inverse=True)
    y, score = (part["truth"] == "real").to_numpy(), part["realism"].to_numpy()
    levels = score.astype(int)

    def auc(drawn: NDArray[np.intp]) -> float:
        weight = np.bincount(drawn, minlength=len(items))[codes]
        real, synthetic = (np.bincount(levels[side], weight[side], minlength=6) for side in (y, ~y))
        pairs = real.sum() * synthetic.sum()
        below = np.cumsum(synthetic) - synthetic / 2  # ties count a half
        return float((real * below).sum() / pairs) if pairs else float("nan")

    return bootstrap_of(auc, np.arange(len(items)), resamples=resamples)


def agreement(answers: pd.DataFrame, study: BlindedSet) -> pd.DataFrame:
    """Agreement between readers: mean pairwise kappa (diagnosis), weighted kappa (skin type), ICC (realism).

    Intervals are over items; the readers are treated as fixed.
    """
    wide = {c: answers.pivot(index="item", columns="reader", values=c) for c in ("diagnosis", "group", "realism")}
    diagnosis, skin = _kappa(wide["diagnosis"], study.diagnoses), _kappa(wide["group"], study.groups, "quadratic")
    return pd.DataFrame(
        [
            {"what": "diagnosis", "measure": "mean pairwise Cohen kappa", **diagnosis},
            {"what": "skin type", "measure": "mean pairwise kappa, quadratic weights", **skin},
            {"what": "realism", "measure": "ICC(2,1), absolute agreement", **_icc(wide["realism"])},
        ]
    )


def _kappa(wide: pd.DataFrame, order: list[str], weights: str | None = None) -> dict[str, object]:
    """Mean over pairs of readers, each pair on the items that both answered."""
    codes = pd.DataFrame({c: pd.Categorical(wide[c], order).codes for c in wide}).astype(int)  # -1: not answered
    pairs = [(codes[a].to_numpy(), codes[b].to_numpy()) for a, b in combinations(codes.columns, 2)]
    shared = max((int(((a >= 0) & (b >= 0)).sum()) for a, b in pairs), default=0)
    if shared < MIN_ITEMS:
        return {"value": missing(shared, "too few items that two readers answered"), "items": shared}

    def mean(rows: NDArray[np.intp]) -> float:
        values = []
        for a, b in pairs:
            both = rows[(a[rows] >= 0) & (b[rows] >= 0)]
            if len(both) >= MIN_ITEMS // 2:
                values.append(kappa(a[both], b[both], weights))
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    return {"value": bootstrap_of(mean, np.arange(len(codes)), resamples=RESAMPLES), "items": shared}


def kappa(a: NDArray[np.integer], b: NDArray[np.integer], weights: str | None = None) -> float:
    """Cohen's kappa, 1960 ("quadratic" weights: 1968), of two readers' codes from 0; NaN where both are constant."""
    n = int(max(a.max(), b.max())) + 1
    table = np.bincount(a * n + b, minlength=n * n).reshape(n, n).astype(float)
    i, j = np.indices((n, n))
    cost = (i - j) ** 2.0 if weights == "quadratic" else (i != j).astype(float)
    by_chance = (cost * np.outer(table.sum(1), table.sum(0))).sum() / table.sum()
    return float(1 - (cost * table).sum() / by_chance) if by_chance > 0 else float("nan")


def _icc(wide: pd.DataFrame) -> dict[str, object]:
    """On the items that all readers answered."""
    whole = wide.dropna().to_numpy(dtype=float)
    if whole.shape[0] < MIN_ITEMS or whole.shape[1] < 2:
        return {"value": missing(len(whole), "too few items that all readers answered"), "items": len(whole)}
    return {"value": bootstrap_of(icc, whole, resamples=RESAMPLES), "items": len(whole)}


def icc(ratings: NDArray[np.floating]) -> float:
    """ICC(2,1): two-way random effects, absolute agreement, single rater (Shrout & Fleiss 1979); [items, raters]."""
    n, k = ratings.shape
    grand = ratings.mean()
    rows = k * ((ratings.mean(1) - grand) ** 2).sum() / (n - 1)
    columns = n * ((ratings.mean(0) - grand) ** 2).sum() / (k - 1)
    residual = ratings - ratings.mean(1, keepdims=True) - ratings.mean(0, keepdims=True) + grand
    error = (residual**2).sum() / ((n - 1) * (k - 1))
    whole = rows + (k - 1) * error + k * (columns - error) / n
    return float((rows - error) / whole) if whole > 0 else float("nan")


def gain_correlation(answers: pd.DataFrame, gains: pd.DataFrame) -> Estimate:
    """Spearman of the mean realism of a class's synthetic images with the classifier's gain on that class."""
    if not {"class", "gain"} <= set(gains.columns):
        raise UserError("the gains need the columns class and gain")
    synthetic = answers[answers["truth"] == "synthetic"]
    realism = synthetic.groupby("truth_diagnosis")["realism"].mean().rename("realism")
    joined = gains.assign(gain=gains["gain"].astype(float)).merge(realism, left_on="class", right_index=True)
    if len(joined) < 4 or joined[["gain", "realism"]].nunique().min() < 2:
        return missing(len(joined), "needs four classes with answers and gains")
    return bootstrap_of(
        lambda a, b: float(spearmanr(a, b)[0]) if np.ptp(a) > 0 and np.ptp(b) > 0 else float("nan"),
        joined["realism"].to_numpy(),
        joined["gain"].to_numpy(),
    )


def study_section(found: Readings) -> ImageCheck:
    """The section of the page on readers."""
    auc, answers = found.readers.iloc[0]["discrimination"], found.answers
    text = (
        f"{answers['reader'].nunique()} readers gave {len(answers)} answers. They told real from synthetic with an AUC "
    )
    text += f"of {auc.text(2)} (0.5: not at all)."
    status: Status = "unknown" if np.isnan(auc.value) else told_apart(auc.low, auc.value, auc.high)
    if auc.high < 0.5:  # they see the difference, and take it for the other
        status = "warn"
    if found.gain is not None:
        text += f" Realism and the classifier's gain per class: Spearman {found.gain.text(2)}."
    by_group, finer = found.cells["family"] == "group", found.cells.drop(columns="family").rename(columns=SHOWN)
    return ImageCheck(
        "Readers",
        text,
        status,
        {
            "fidelity": [
                frame_table(found.readers.rename(columns=SHOWN), "Readers"),
                frame_table(found.agreement, "Agreement between readers"),
                frame_table(finer[~by_group], "By true class, all readers"),
            ],
            "fairness": [frame_table(finer[by_group], "By true skin type, all readers")],
        },
    )
