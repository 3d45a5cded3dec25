"""The card: its numbers, its gaps against chance, its refusals, its command."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from fairlearn import metrics as fl
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from evalsuite import selfcheck
from evalsuite.commands.fairness import fairness as command
from evalsuite.fairness import assess
from evalsuite.fairness.card import Card
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
    return assess.card(predictions(), ["fst", "sex"], validation=predictions(300, 1, "v"), n_boot=100)


def test_it_holds_all_groups_and_intersections(card: Card) -> None:
    """All, each group, each intersection; shrinkage beside the raw value of the intersections."""
    assert [r.group for r in card.of("fst")] == ["1", "2", "3"]
    assert len(card.of("fst x sex")) == 6
    assert all(r.shrunk is not None for r in card.of("fst x sex"))
    assert card.row().shrunk is None
    assert sum(r.n for r in card.of("fst x sex")) == card.row().n == 400
    accuracy = card.row("fst", "2").metrics["accuracy"]
    own = predictions().take((predictions().groups["fst"] == "2").to_numpy())
    assert accuracy.value == pytest.approx((own.probs.argmax(axis=1) == own.labels).mean(), abs=1e-12)


def test_every_interval_holds_its_value(card: Card) -> None:
    """Low <= value <= high wherever there is enough data, but for bootstrapped values at their bound."""
    for row in card.rows:
        for name, e in row.metrics.items():
            if e.enough and np.isfinite(e.value):
                assert e.low - 1e-9 <= e.value <= e.high + 1e-9, (row.group, name)
    for gap in card.gaps:
        assert 0 <= gap.low <= gap.difference <= gap.high


def test_parity_is_fairlearns(card: Card) -> None:
    """Demographic parity, equal opportunity and equalised odds of each class, difference and ratio, to 1e-9."""
    own = predictions()
    call = own.probs.argmax(axis=1)
    for index, cls in enumerate(own.classes):
        for name, difference, ratio in (
            ("demographic_parity", fl.demographic_parity_difference, fl.demographic_parity_ratio),
            ("equal_opportunity", fl.equal_opportunity_difference, fl.equal_opportunity_ratio),
            ("equalised_odds", fl.equalized_odds_difference, fl.equalized_odds_ratio),
        ):
            gap = card.gap("fst", f"{name}:{cls}")
            given = {
                "y_true": own.labels == index,
                "y_pred": call == index,
                "sensitive_features": own.groups["fst"].to_numpy(),
            }
            assert gap.difference == pytest.approx(difference(**given), abs=1e-9)
            assert gap.ratio == pytest.approx(ratio(**given), abs=1e-9)


def test_gap_is_fairlearns_metric_frame(card: Card) -> None:
    """Max - min and min / max of the accuracy as MetricFrame gives them."""
    own = predictions()
    frame = fl.MetricFrame(
        metrics=lambda y_true, y_pred: float(np.mean(np.asarray(y_true) == np.asarray(y_pred))),
        y_true=own.labels,
        y_pred=own.probs.argmax(axis=1),
        sensitive_features=own.groups["fst"].to_numpy(),
    )
    gap = card.gap("fst")
    assert gap.difference == pytest.approx(frame.difference(), abs=1e-9)
    assert gap.ratio == pytest.approx(frame.ratio(), abs=1e-9)
    assert gap.worst_value == pytest.approx(frame.group_min(), abs=1e-9)


def test_thresholds_come_from_validation_alone(card: Card) -> None:
    """The threshold keeps the specificity on the validation table, and the test table cannot move it."""
    validation = predictions(300, 1, "v")
    for index, cls in enumerate(validation.classes):
        cut = card.thresholds["global"][cls]
        negative = validation.probs[validation.labels != index, index]
        assert (negative < cut).mean() >= 0.9
        assert (negative < np.nextafter(np.nextafter(cut, 0), 0)).mean() < 0.9 + 1 / len(negative)
    again = assess.card(predictions(200, 5), ["fst"], validation=validation, n_boot=20, intersections=False)
    assert again.thresholds["global"] == card.thresholds["global"]
    assert "fst=1" in card.thresholds


def test_null_gap_matches_the_measured_anchor() -> None:
    """Equal accuracy 0.70 in six groups of 589, 962, 662, 556, 307, 127: chance alone shows 0.062, up to 0.108."""
    sizes = (589, 962, 662, 556, 307, 127)
    own = selfcheck.table([selfcheck.Group(str(i), n, 0.70) for i, n in enumerate(sizes)], 0)
    gap = assess.card(own, ["fst"], n_boot=300, intersections=False).gap("fst")
    assert gap.null_mean == pytest.approx(0.062, abs=0.006)
    assert gap.null_p95 == pytest.approx(0.108, abs=0.014)


def test_small_cells_say_so_and_stay_out_of_gaps() -> None:
    """Four rows of group 9, all wrong, are not the worst group."""
    frame = table(200)
    frame["fst"] = frame["fst"].astype(str)
    frame.loc[:3, "fst"] = "9"
    for row in range(4):
        wrong = "prob_c0" if frame.loc[row, "label"] != "c0" else "prob_c1"
        frame.loc[row, [f"prob_c{i}" for i in range(4)]] = 0.0
        frame.loc[row, wrong] = 1.0
    made = assess.card(from_frame(frame, groups=["fst"]), ["fst"], n_boot=40)
    estimate = made.row("fst", "9").metrics["accuracy"]
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
    one = assess.card(from_frame(frame, groups=["fst"]), ["fst"], n_boot=300)
    rows = assess.card(from_frame(five, groups=["fst"]), ["fst"], n_boot=300)
    five["cluster"] = five["id"].str.partition("_")[0]
    patients = assess.card(from_frame(five, groups=["fst"]), ["fst"], n_boot=300)
    for metric in ("accuracy", "auroc", "macro_f1", "brier"):
        width = [c.row().metrics[metric].high - c.row().metrics[metric].low for c in (one, rows, patients)]
        assert width[2] == pytest.approx(width[0], rel=0.2), metric
        assert width[1] < 0.6 * width[0], metric
    assert patients.gap("fst").null_mean == pytest.approx(one.gap("fst").null_mean, rel=0.2)


def test_the_same_seed_gives_the_same_bytes(card: Card) -> None:
    """Reproducible to the byte; JSON without NaN; tables with a row a number."""
    again = assess.card(predictions(), ["fst", "sex"], validation=predictions(300, 1, "v"), n_boot=100)
    assert again.to_json() == card.to_json()
    assert "NaN" not in card.to_json()
    assert len(card.to_frame()) == sum(len(r.metrics) + (r.shrunk is not None) for r in card.rows)
    assert len(card.gaps_frame()) == len(card.gaps)


def test_one_group_missing_columns_and_overlap_are_refused() -> None:
    """What cannot be compared is said in one line."""
    own = predictions()
    with pytest.raises(UserError, match="one group only"):
        assess.card(own.with_group("fst", ["1"] * own.n), ["fst"])
    with pytest.raises(UserError, match="missing group column age"):
        assess.card(own, ["age"])
    with pytest.raises(UserError, match=r"400 ids are in both"):
        assess.card(own, ["fst"], validation=own)


# -- the command --------------------------------------------------------------------------------------------------


def invoke(*arguments: str) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.exception


def test_command_writes_a_self_contained_folder(tmp_path: Path) -> None:
    """JSON, CSV, HTML and plots; hostile group names are escaped; nothing is fetched."""
    frame = table(240)
    frame["fst"] = frame["fst"].map({1: "<script>alert(1)</script>", 2: "a & b", 3: "$x^2$"})
    frame.to_csv(tmp_path / "t.csv", index=False)
    table(240, separation=1.0).drop(columns=["fst", "sex", "patient"]).to_parquet(tmp_path / "base.parquet")
    table(200, seed=3, prefix="v").assign(fst="a & b").to_csv(tmp_path / "v.csv", index=False)
    status, out, error = invoke(
        str(tmp_path / "t.csv"),
        "--groups",
        "fst",
        "--against",
        str(tmp_path / "base.parquet"),
        "--noise",
        "0.1",
        "--n-boot",
        "40",
        "--out",
        str(tmp_path / "card"),
        "--validation",
        str(tmp_path / "v.csv"),
        "--json",
    )
    assert status == 0, error
    assert json.loads(out)["comparison"]["metric"] == "accuracy"
    names = {p.name for p in (tmp_path / "card").iterdir()}
    assert {"card.json", "groups.csv", "gaps.csv", "card.html", "forest_fst.svg", "raters.json"} <= names
    page = (tmp_path / "card" / "card.html").read_text()
    assert "<script" not in page
    assert "a &amp; b" in page
    assert "src=" not in page
    assert json.loads((tmp_path / "card" / "card.json").read_text())["classes"] == ["c0", "c1", "c2", "c3"]


def test_command_refuses_in_one_line(tmp_path: Path) -> None:
    """Missing columns, shared training ids and unknown metrics are the user's mistakes."""
    frame = table(60)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame[["id"]].iloc[:2].to_csv(tmp_path / "train.csv", index=False)
    for extra, expected in (
        (["--groups", "age"], "missing column age"),
        (["--groups", "fst", "--train", str(tmp_path / "train.csv")], "2 ids are in both"),
        (["--groups", "fst", "--n-boot", "20", "--metric", "beauty"], "unknown metric 'beauty'"),
        (["--groups", "fst", "--cluster", "family"], "missing column family"),
        (["--groups", "fst,sex,fst"], "'fst' is named twice"),
        (["--groups", "fst", "--rater-b", "fst"], "'fst' is named twice"),
        (["--groups", "label"], "column 'label' cannot be a group"),
        (
            ["--groups", "fst", "--n-boot", "20", "--against", str(tmp_path / "t.csv"), "--metric", "brier"],
            "metric 'brier' cannot be compared here",
        ),
        (
            ["--groups", "fst", "--n-boot", "20", "--noise", "0.1", "--metric", "calibration_slope"],
            "metric 'calibration_slope' cannot be compared here",
        ),
    ):
        _, _, error = invoke(str(tmp_path / "t.csv"), *extra)
        assert isinstance(error, UserError)
        assert expected in str(error)


@pytest.mark.slow
def test_ten_thousand_rows_take_less_than_twenty_seconds() -> None:
    """10,000 rows, 9 classes, 6 groups, 1,000 resamples on one core (processor time: others may be running)."""
    frame = table(10_000, k=9)
    frame["fst"] = np.random.default_rng(0).integers(1, 7, 10_000)
    own = from_frame(frame, groups=["fst"])
    start = time.process_time()
    assess.card(own, ["fst"], validation=from_frame(table(2000, 9, 1, prefix="v"), groups=["fst"]))
    assert time.process_time() - start < 20
