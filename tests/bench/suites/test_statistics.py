"""Simulated claims: a short version of `make validate-statistics`, and that a stopped run goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.commands.statistics import statistics
from bench.suites.statistics import simulate
from bench.suites.statistics.experiments import BARS, experiments
from bench.suites.statistics.planted_tables import Design, draw, truth
from dermforge.common.errors import UserError
from evalsuite.fairness.metric_key import MetricKey

ALL = {e.name: e for e in experiments()}
#: Tables of each experiment that runs at each `make test`.
SHORT = {
    "no worse, 12 positives": 60,
    "no worse, 40 positives": 60,
    "change, 60 rows": 40,
    "15 patients": 40,
    "no gap, two unequal groups": 60,
    "no gap, six groups of 60 patients": 20,
    "own thresholds, validation 600, test 6000": 20,
}


@pytest.mark.parametrize("name", SHORT)
def test_bars_are_not_missed_beyond_chance(name: str, tmp_path: Path) -> None:
    """Few tables, wide errors: three of them below or above a bar is a defect."""
    found = simulate.simulate(ALL[name], tmp_path, SHORT[name] / ALL[name].tables)
    assert sum(found.judged.values()) > 0
    for experiment, outcome, percent, error, tables, _ in found.rows():
        least, most = BARS[outcome.partition(":")[0]]
        assert least - 3.5 * max(error, 100 * np.sqrt(0.05 * 0.95 / tables)) <= percent, (experiment, outcome)
        assert percent <= most + 3.5 * max(error, 100 * np.sqrt(0.05 * 0.95 / tables)), (experiment, outcome)


def test_a_stopped_run_goes_on_to_the_same_counts(tmp_path: Path) -> None:
    """Half, then the rest, is the whole; nothing is drawn twice."""
    experiment = replace(ALL["no worse, 12 positives"], tables=80)
    whole = simulate.simulate(experiment, tmp_path / "whole")
    simulate.simulate(experiment, tmp_path / "parts", 0.5)
    drawn: list[int] = []
    assert simulate.simulate(experiment, tmp_path / "parts", tick=drawn.append) == whole
    assert sum(drawn) == 40


def test_a_file_that_holds_no_counts_is_refused(tmp_path: Path) -> None:
    simulate.file_of(tmp_path, "x").write_text("{}")
    with pytest.raises(UserError, match="no counts of a simulation"):
        simulate.read(tmp_path, "x")


def test_a_missed_bar_is_said() -> None:
    """Too many false alarms are above their bar, too few true intervals below theirs; 95 % is neither."""
    judged = dict.fromkeys(("covered: a", "covered: b", "false alarm: x"), 400)
    true = {"covered: a": 380, "covered: b": 320, "false alarm: x": 400}
    counts = simulate.Counts(experiment="one", lots=20, judged=judged, true=true)
    assert [row.missed for row in counts.rows()] == ["", "below", "above"]


def test_tables_have_the_truth_that_was_planted() -> None:
    """A large table shows the metrics of a table without end; a planted loss lowers them; patients are alike."""
    design = Design((20_000, 20_000), lost=(0, 0.7))
    table = draw(np.random.default_rng(5), design)
    right = table.probs.argmax(axis=1) == table.labels
    for group, name in enumerate(design.groups):
        own = (table.groups["fst"] == name).to_numpy()
        assert right[own].mean() == pytest.approx(truth(design, group)[MetricKey("accuracy")], abs=0.012)
    assert truth(design, 1)[MetricKey("accuracy")] < truth(design, 0)[MetricKey("accuracy")] - 0.1
    alike = draw(np.random.default_rng(6), Design((4000,), patients=400, alike=0.7))
    assert alike.clusters is not None
    assert len(set(alike.clusters)) == 400


def test_a_name_that_no_experiment_has_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no experiment has 'colour' in its name"):
        statistics(tmp_path, only="colour")
