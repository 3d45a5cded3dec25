"""The card: its numbers, its refusals, its bytes."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from dermforge.common.errors import UserError
from evalsuite.fairness.card import Card, CardSettings
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.predictions import Predictions, from_frame
from evalsuite.stats.estimate import NOT_ENOUGH


def table(n: int, k: int = 4, seed: int = 0, separation: float = 1.5, prefix: str = "i") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    p = rng.normal(size=(n, k))
    p[np.arange(n), y] += separation
    p = np.exp(p)
    frame = pd.DataFrame(p / p.sum(axis=1, keepdims=True), columns=[f"prob_c{i}" for i in range(k)])
    frame.insert(0, "label", [f"c{v}" for v in y])
    frame.insert(0, "id", [f"{prefix}{i}" for i in range(n)])
    return frame.assign(fst=rng.integers(1, 4, n), sex=rng.choice(["f", "m"], n), patient=np.arange(n) // 2)


def predictions(n: int = 400, seed: int = 0, prefix: str = "i") -> Predictions:
    return from_frame(table(n, seed=seed, prefix=prefix), groups=["fst", "sex"])


@pytest.fixture(scope="module")
def card() -> Card:
    return compute_card(predictions(), ["fst", "sex"], CardSettings(), validation=predictions(300, 1, "v"))


def test_it_holds_all_groups_and_intersections(card: Card) -> None:
    """All, each group, each intersection; shrinkage beside the raw value of the intersections."""
    assert [r.group for r in card.of("fst")] == ["1", "2", "3"]
    assert len(card.of("fst x sex")) == 6
    assert all(r.shrunk is not None for r in card.of("fst x sex"))
    assert card.row().shrunk is None
    assert sum(r.n for r in card.of("fst x sex")) == card.row().n == 400
    accuracy = card.row("fst", "2")["accuracy"]
    own = predictions().take((predictions().groups["fst"] == "2").to_numpy())
    assert accuracy.value == pytest.approx((own.probs.argmax(axis=1) == own.labels).mean(), abs=1e-12)


def test_every_interval_holds_its_value(card: Card) -> None:
    """Low <= value <= high wherever there is enough data."""
    for row in card.rows:
        for name, e in row.metrics.items():
            if e.enough and np.isfinite(e.value):
                assert e.low - 1e-9 <= e.value <= e.high + 1e-9, (row.group, name)
    for gap in card.gaps:
        assert 0 <= gap.low <= gap.difference <= gap.high


def test_thresholds_come_from_validation_alone(card: Card) -> None:
    """The threshold keeps the specificity on the validation table, and the test table cannot move it."""
    validation = predictions(300, 1, "v")
    for index, cls in enumerate(validation.classes):
        cut = card.thresholds["global"][cls]
        negative = validation.probs[validation.labels != index, index]
        assert (negative < cut).mean() >= 0.9
        assert (negative < np.nextafter(np.nextafter(cut, 0), 0)).mean() < 0.9 + 1 / len(negative)
    again = compute_card(predictions(200, 5), ["fst"], CardSettings(intersections=False), validation=validation)
    assert again.thresholds["global"] == card.thresholds["global"]
    assert "fst=1" in card.thresholds


def test_small_cells_say_so_and_stay_out_of_gaps() -> None:
    """Four rows of group 9, all wrong, are not the worst group."""
    frame = table(200)
    frame["fst"] = frame["fst"].astype(str)
    frame.loc[:3, "fst"] = "9"
    for row in range(4):
        wrong = "prob_c0" if frame.loc[row, "label"] != "c0" else "prob_c1"
        frame.loc[row, [f"prob_c{i}" for i in range(4)]] = 0.0
        frame.loc[row, wrong] = 1.0
    made = compute_card(from_frame(frame, groups=["fst"]), ["fst"], CardSettings())
    estimate = made.row("fst", "9")["accuracy"]
    assert not estimate.enough
    assert estimate.n_needed >= 10
    assert NOT_ENOUGH in estimate.text()
    assert made.gap("fst").worst != "9"
    assert made.gap("fst").left_out == ("9",)
    assert any("fst 9" in note for note in made.notes)


def test_patients_widen_the_intervals() -> None:
    """Each row five times, as five images of a patient: the intervals stay those of the patients."""
    frame = table(200)
    five = pd.concat([frame.assign(id=frame["id"] + f"_{i}") for i in range(5)], ignore_index=True)
    one = compute_card(from_frame(frame, groups=["fst"]), ["fst"], CardSettings())
    rows = compute_card(from_frame(five, groups=["fst"]), ["fst"], CardSettings())
    five["cluster"] = five["id"].str.partition("_")[0]
    patients = compute_card(from_frame(five, groups=["fst"]), ["fst"], CardSettings())
    for metric in ("accuracy", "auroc", "macro_f1", "brier"):
        width = [c.row()[metric].high - c.row()[metric].low for c in (one, rows, patients)]
        assert width[2] == pytest.approx(width[0], rel=0.2), metric
        assert width[1] < 0.6 * width[0], metric
    assert patients.gap("fst").null_mean == pytest.approx(one.gap("fst").null_mean, rel=0.2)


def test_the_same_seed_gives_the_same_bytes(card: Card) -> None:
    """Reproducible to the byte; JSON without NaN; tables with a row a number."""
    again = compute_card(predictions(), ["fst", "sex"], CardSettings(), validation=predictions(300, 1, "v"))
    assert again.to_json() == card.to_json()
    assert "NaN" not in card.to_json()
    assert len(card.to_frame()) == sum(len(r.metrics) + (r.shrunk is not None) for r in card.rows)
    assert len(card.gaps_frame()) == len(card.gaps)


def test_one_group_missing_columns_and_overlap_are_refused() -> None:
    """What cannot be compared is said in one line."""
    own = predictions()
    with pytest.raises(UserError, match="one group only"):
        compute_card(own.with_group("fst", ["1"] * own.n), ["fst"])
    with pytest.raises(UserError, match="missing group column age"):
        compute_card(own, ["age"])
    with pytest.raises(UserError, match=r"400 ids are in both"):
        compute_card(own, ["fst"], validation=own)


@pytest.mark.slow
def test_ten_thousand_rows_take_less_than_twenty_seconds() -> None:
    """10,000 rows, 9 classes, 6 groups on one core (processor time: others may be running)."""
    frame = table(10_000, k=9)
    frame["fst"] = np.random.default_rng(0).integers(1, 7, 10_000)
    own = from_frame(frame, groups=["fst"])
    start = time.process_time()
    compute_card(own, ["fst"], validation=from_frame(table(2000, 9, 1, prefix="v"), groups=["fst"]))
    assert time.process_time() - start < 20


@pytest.mark.parametrize("held_out", [2, 4, 12])
def test_a_few_rows_of_a_few_patients_are_not_enough_and_no_crash(held_out: int) -> None:
    """Eleven test images of patients, thresholds that nothing fixes."""
    frame, few = table(11, 2), table(held_out, 2, 1, prefix="v")
    frame["fst"], few["fst"] = np.arange(11) % 2, np.arange(held_out) % 2
    few["patient"] += 100
    own, validation = (from_frame(t, groups=["fst"], cluster="patient") for t in (frame, few))
    made = compute_card(own, ["fst"], validation=validation)
    for row in made.rows:
        assert not row["sensitivity@global"].enough
        assert np.isnan(row["sensitivity@global"].value)


def test_forty_images_of_one_patient_are_not_enough() -> None:
    """They say nothing of other patients: no number, no gap, and no gap that would have been seen."""
    frame = table(120, 2)
    frame["fst"] = np.where(np.arange(120) < 40, "VI", "I")
    frame["patient"] = np.where(np.arange(120) < 40, "p", frame["patient"])
    made = compute_card(from_frame(frame, groups=["fst"], cluster="patient"), ["fst"])
    for metric in ("accuracy", "sensitivity:c0", "auroc", "macro_f1", "brier", "balanced_accuracy"):
        estimate = made.row("fst", "VI")[metric]
        assert not estimate.enough or estimate.high - estimate.low > 0.5, metric
    assert not made.row("fst", "VI")["accuracy"].enough
    assert all(gap.metric.kind != "accuracy" for gap in made.gaps)
