"""Outcomes agree with scikit-learn, also with weights; what is undefined is NaN."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score
from study_helpers import curve, new_grid, plant

from dermforge.common.errors import UserError
from evalsuite.fairness.predictions import Predictions, from_frame
from evalsuite.page.blocks import Report, Section
from evalsuite.page.render import page
from evalsuite.report import study_contrasts, study_report
from evalsuite.study import analysis, study_findings
from evalsuite.study.outcomes import auroc, counted, outcome
from evalsuite.study.paired_scores import Score, resamples


def table(seed: int, n: int = 90) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    scores = rng.normal(size=(n, 3)) + 0.7 * np.eye(3)[labels]
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    frame = pd.DataFrame({"id": [f"i{i}" for i in range(n)], "label": np.array(list("abc"))[labels], "group": "g"})
    return from_frame(pd.concat([frame, pd.DataFrame(probs, columns=["prob_a", "prob_b", "prob_c"])], axis=1))


def scored(metric: str, mask: np.ndarray | None = None) -> Score:
    made = table(0)
    mine = counted(metric, made) & (np.ones(made.n, dtype=bool) if mask is None else mask)
    return resamples(made, 1, 100).score([outcome(made, made, metric)], mine, metric)


def test_outcomes_are_those_of_scikit_learn() -> None:
    made = table(0)
    said = made.probs.argmax(axis=1)
    assert scored("auroc").value == pytest.approx(roc_auc_score(made.labels, made.probs, multi_class="ovr"))
    assert scored("balanced_accuracy").value == pytest.approx(balanced_accuracy_score(made.labels, said))
    of_b = scored("sensitivity:b")
    assert of_b.value == pytest.approx(recall_score(made.labels, said, labels=[1], average="macro"))
    assert of_b.n == 30


@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), levels=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_the_weighted_auroc_is_that_of_scikit_learn(seed: int, n: int, levels: int) -> None:
    """Ties and weights of 0 included; with one class it is undefined."""
    rng = np.random.default_rng(seed)
    scores, positive = rng.integers(0, levels, n) / levels, rng.random(n) < 0.5
    weights = rng.integers(0, 3, (n, 4)).astype(float)
    with np.errstate(invalid="ignore"):
        found = auroc(scores, positive, weights)
    for value, weight in zip(found, weights.T, strict=True):
        if weight[positive].sum() and weight[~positive].sum():
            assert value == pytest.approx(roc_auc_score(positive, scores, sample_weight=weight))
        else:
            assert np.isnan(value)


@pytest.mark.parametrize("metric", ["auroc", "balanced_accuracy", "sensitivity:b", "accuracy"])
def test_a_group_without_the_items_that_count_has_no_score(metric: str) -> None:
    """No image at all, or of one class for AUROC: undefined, and it says what lacks."""
    alone = table(0).labels == (0 if metric in ("auroc", "sensitivity:b") else 9)
    score = scored(metric, alone)
    assert np.isnan(score.value)
    assert "needed" in score.lacking


def test_other_outcomes_are_refused() -> None:
    with pytest.raises(UserError, match="sensitivity:CLASS"):
        new_grid(metric="sensitivity:")
    with pytest.raises(UserError, match="which are a, b, c"):
        counted("sensitivity:d", table(0))


@pytest.mark.parametrize("metric", ["auroc", "sensitivity:b"])
def test_a_whole_study_is_judged_by_any_outcome(tmp_path: Path, metric: str) -> None:
    """From predictions to the page; a group without the class that counts is named and not judged."""
    made = new_grid(sizes=(4, 8), ratios=(2, 10), seeds=3, metric=metric)
    plant(tmp_path / "s", made, lambda kind, n, ratio, group: curve(n) + 0.15 * (kind == "mix"))
    for path in (tmp_path / "s").rglob("predictions.parquet"):
        frame = pd.read_parquet(path)
        frame.loc[(frame["label"] != "b") & (frame.index < 90), "group"] = "no b"
        frame.to_parquet(path)
    found = analysis.analyse(tmp_path / "s", n_boot=100)
    at = {(g.group, g.size): g for g in found.gains if g.ratio == 10}
    assert at["all", 4].verdict == "helps"
    assert at["all", 4].n == (200 if metric == "sensitivity:b" else 600)
    assert "needed" in found.lacking["no b"]
    study_findings.write_record(found, tmp_path)
    assert json.loads((tmp_path / "study.json").read_text())["lacking"]["no b"]
    said = [Section("g", study_report._by_group(found)), *study_contrasts.sections(found)]
    assert "Not enough data for no b" in page([Report("title", study_report.answer(found), said)])


def test_groups_of_any_column_are_judged(tmp_path: Path) -> None:
    made = new_grid(sizes=(4,), ratios=(2,), seeds=3, groups="site")
    plant(tmp_path / "s", made, lambda kind, n, ratio, group: curve(n))
    for path in (tmp_path / "s").rglob("predictions.parquet"):
        frame = pd.read_parquet(path)
        frame.assign(site=np.where(frame.index < 300, "arm", "face")).to_parquet(path)
    assert analysis.analyse(tmp_path / "s", n_boot=100).groups == ("all", "arm", "face")
