"""The dose study: the grid with its controls, resumed and raised; planted gains found for the right group."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bench.suites.study import feature_study
from dermforge.common.errors import UserError
from evalsuite.cli import PROGRAM
from evalsuite.fairness.predictions import from_frame
from evalsuite.page.render import page
from evalsuite.report import study_report
from evalsuite.study import analysis, design, findings, paired_scores
from evalsuite.study import arm as arms
from evalsuite.study.design import CONTROLS, Design, new_design, next_doses
from evalsuite.training.data.datasets import Places, open_data
from evalsuite.training.recipe import make_recipe

PLACES = Places(real=Path("real"), synthetic=(Path("synthetic"),))


def new_grid(**changes: object) -> Design:
    return new_design(
        PLACES,
        make_recipe(steps=10),
        **{  # type: ignore[arg-type]
            "sizes": (4, 8, 16, 32),
            "ratios": (2, 10),
            "seeds": 3,
            **changes,
        },
    )


def plant(folder: Path, made: Design, accuracy, n: int = 600) -> None:  # type: ignore[no-untyped-def]
    """Write the predictions of a study whose arms have a known accuracy: accuracy(kind, n_real, ratio, group)."""
    folder.mkdir(exist_ok=True)
    (folder / design.PLAN).write_text(made.model_dump_json())
    labels, groups = np.arange(n) % 3, np.where(np.arange(n) // 3 % 2, "light", "dark")
    luck = np.random.default_rng(0).random(n)  # items are easy or hard for every arm: what pairing is for
    for arm in made.arms():
        own = np.random.default_rng([arm.seed, arm.n_real, int(arm.ratio), len(arm.kind)]).normal(0, 0.03, n)
        p = np.array([accuracy(arm.kind, arm.n_real, arm.ratio, g) for g in groups])
        said = np.where(luck + own < p, labels, (labels + 1) % 3)
        place = folder / "arms" / arm.name
        place.mkdir(parents=True)
        frame = pd.DataFrame({"id": [f"i{i}" for i in range(n)], "label": np.array(list("abc"))[labels]})
        for k, c in enumerate("abc"):
            frame[f"prob_{c}"] = np.where(said == k, 0.8, 0.1)
        frame["group"] = groups
        frame.to_parquet(place / arms.PREDICTIONS)
        (place / arms.RESULT).write_text(
            arms.Result(
                digest="",
                arm=arm,
                real=1,
                synthetic=1,
                seen_real=1,
                seen_synthetic=1,
                steps=10,
                best_step=10,
                seconds=1,
                images_per_second=1,
                validation_loss=1,
                validation_accuracy=0.5,
                test_accuracy=0.5,
                leakage=[],
                notes=[],
                history=[],
            ).model_dump_json()
        )


def curve(n: float) -> float:
    return 1 - (0.1 + 1.0 * n**-0.5)


def only_light(kind: str, n: int, ratio: float, group: str) -> float:
    """Synthetic images stand for 0.2 real ones each, saturate at 10:1, and help light skin only."""
    helps = kind == "mix" and group == "light"
    return curve(n + 0.2 * n * min(ratio, 10) if helps else n)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> analysis.Analysis:
    made = new_grid(ratios=(2, 5, 10, 20))
    folder = tmp_path_factory.mktemp("study") / "planted"
    plant(folder, made, only_light)
    return analysis.analyse(folder, n_boot=200)


def test_a_study_holds_the_grid_and_all_controls() -> None:
    """No gain without the arms that could explain it away; equal steps in all."""
    names = [a.name for a in new_grid().arms()]
    assert len(names) == len(set(names)) == 3 * 4 * (3 + len(CONTROLS))
    assert {a.recipe.steps for a in new_grid().arms()} == {10}
    assert {a.ratio for a in new_grid().arms() if a.kind in CONTROLS} == {10.0}


def test_the_group_that_gains_is_found_and_the_other_is_not(found: analysis.Analysis) -> None:
    """The whole point: for whom."""
    at = {(g.group, g.size): g for g in found.gains if g.ratio == 10}
    truth = curve(3 * 8) - curve(8)
    assert at["light", 8].verdict == "helps"
    assert at["light", 8].low < truth < at["light", 8].high
    assert all(at["dark", n].verdict not in ("helps", "hurts") for n in found.design.sizes)
    assert findings.verdicts(found)["light"].startswith("At 10:1 helps with 4 (+")


def test_the_planted_saturation_and_exchange_rate_are_found(found: analysis.Analysis) -> None:
    """Gains end at 10:1, where each synthetic image stands for a fifth of a real one."""
    ratios = [found.saturations["light", None, n].ratio for n in (4, 8)]
    assert ratios == [10, 10]
    worth = found.exchanges["light", None, 8]
    assert worth.low <= 24 <= worth.high
    assert worth.rate == pytest.approx(0.2, abs=0.08)
    assert "above the fitted range" in found.exchanges["light", None, 32].text()


def test_false_alarms_stay_at_the_stated_rate(tmp_path: Path) -> None:
    """With no effect at all hardly any verdict in the family may say helps or hurts."""
    said = []
    for seed in range(2):
        made = new_grid(ratios=(10,), seeds=3)
        plant(tmp_path / str(seed), made, lambda kind, n, ratio, group: curve(n))
        gains = analysis.analyse(tmp_path / str(seed), n_boot=100).gains
        said += [g.verdict for g in gains]
    assert sum(v in ("helps", "hurts") for v in said) <= 1


def test_the_record_and_the_page_hold_the_same_verdict(found: analysis.Analysis, tmp_path: Path) -> None:
    """JSON, CSV and HTML must not disagree."""
    record = findings.write_record(found, tmp_path)
    assert json.loads((tmp_path / "study.json").read_text())["verdicts"] == record["verdicts"]
    assert len(pd.read_csv(tmp_path / "scores.csv")) == len(found.lines)
    assert "light" in study_report.figure(found, "light")
    words = study_report.answer(found)
    assert words.sentence == record["verdicts"]["all"]
    made = study_report.Report(
        "title",
        words,
        [
            study_report.Section("f", study_report._figure(found)),
            study_report.Section("c", study_report._controls(found)),
            study_report.Section("l", study_report._laws(found)),
        ],
    )
    assert "real images with RandAugment" in page([made])


def test_doses_are_doubled_until_the_gain_stops() -> None:
    """--adaptive spends nothing on sizes that have stopped gaining, nor beyond what the shards hold."""
    first = new_grid(adaptive=True, sizes=(4, 8, 16))
    assert first.doses == {4: (0, 1), 8: (0, 1), 16: (0, 1)}
    second = next_doses(first, [8], {4: 100, 8: 100, 16: 1.5})
    assert second is not None
    assert second.doses == {4: (0, 1, 2), 8: (0, 1), 16: (0, 1)}
    assert next_doses(second, [4, 8], {4: 100, 8: 100, 16: 1.5}) is None


def test_bad_grids_are_refused() -> None:
    """One line that says what a study needs."""
    with pytest.raises(UserError, match="not a study"):
        new_grid(sizes=(0,))
    with pytest.raises(UserError, match="not a study"):
        new_grid(seeds=0)


def test_a_feature_study_runs_and_goes_on(tmp_path: Path) -> None:
    """The cached path from a table of features to verdicts; a second call trains nothing."""
    made = feature_study(tmp_path, arms=12, width=256)
    made = made.model_copy(update={"recipe": made.recipe.model_copy(update={"steps": 60})})
    opened = open_data(made.places)
    design.check(made, opened)
    design.execute(made, tmp_path / "out", workers=1)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("result.json")}
    assert len(times) == 12
    assert not [p for p in times if "randaugment" in str(p)]  # features cannot be augmented: no control by name only
    design.execute(made, tmp_path / "out", workers=1)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("result.json")} == times
    found = analysis.analyse(tmp_path / "out", n_boot=100)
    best = max(line.score for line in found.lines if line.group == "all")
    assert best > 0.3  # one in ten by chance
    with pytest.raises(UserError, match="another recipe"):
        design.execute(made.model_copy(update={"recipe": make_recipe(lr=0.5)}), tmp_path / "out", workers=1)
    with pytest.raises(UserError, match="which allows 18:1"):
        design.check(made.model_copy(update={"doses": {10: (0, 50)}}), opened)


def test_the_dose_is_raised_by_the_command_until_it_stops(tmp_path: Path) -> None:
    """`--adaptive` from features to the page: doublings, controls at the last dose only, and nothing trained twice."""
    made = feature_study(tmp_path, arms=12, width=512)
    places = ["--real", made.places.real, "--synthetic", made.places.synthetic[0], "--features", made.places.features]
    words = [
        "study",
        *places,
        "--out",
        tmp_path / "out",
        "--adaptive",
        "--max-ratio",
        "4",
        "--n-real",
        "5",
        "--seeds",
        "4",
        "--steps",
        "30",
        "--lr",
        "0.01",
        "--size",
        "16",
        "--n-boot",
        "100",
        "--workers",
        "1",
        "--json",
    ]

    def run() -> dict[str, float]:
        done = CliRunner().invoke(PROGRAM.app(), [str(w) for w in words])
        assert done.exit_code == 0, done.output
        return {p.parent.name: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("result.json")}

    trained = run()
    doses = design.read_design(tmp_path / "out").doses[5]
    assert doses == (0, 1, 2, 4)[: len(doses)]
    assert len(doses) > 2
    flat = analysis.analyse(tmp_path / "out", n_boot=100).flat()
    assert flat == [5] or doses[-1] == 4
    short = {name for name in trained if name.startswith("real-short")}
    assert short == {f"real-short_n5_r{doses[-1]:g}_s{seed}" for seed in range(4)}
    assert f"{doses[-1]:g}:1" in (tmp_path / "out" / "report.html").read_text()
    assert run() == trained


@pytest.mark.parametrize(("name", "arms"), [("sagers2023", 5 * 7 * (9 + 4)), ("laptop", 2 * 4 * (4 + 4))])
def test_presets_are_the_grids_they_name(name: design.Preset, arms: int) -> None:
    """The published grid: 1 to 228 real images per class, up to 75 synthetic ones for each, five seeds."""
    grid = design.PRESETS[name]
    made = new_design(PLACES, make_recipe(**grid.recipe), grid.sizes, grid.ratios, seeds=grid.seeds)
    assert len(made.arms()) == arms
    if name == "sagers2023":
        assert made.doses[228] == (0, 1, 2, 5, 10, 20, 25, 50, 75)
        assert made.sizes == [1, 8, 16, 32, 64, 128, 228]


def test_paired_resamples_know_more_than_two_separate_ones() -> None:
    """The interval of a difference must use that both arms saw the same items."""
    rng = np.random.default_rng(0)
    n = 300
    easy = rng.random(n)
    frame = pd.DataFrame(
        {"id": [f"i{i}" for i in range(n)], "label": ["a", "b"] * (n // 2), "prob_a": 0.5, "prob_b": 0.5, "group": "g"}
    )
    draws = paired_scores.resamples(from_frame(frame), 2, 300)
    everyone = np.ones(n, dtype=bool)
    one = draws.score([easy < 0.6, easy < 0.61], everyone, "accuracy")
    two = draws.score([easy < 0.65, easy < 0.66], everyone, "accuracy")
    low, high = two.minus(one).interval()
    wide = two.interval()
    assert 0 < low < two.value - one.value < high
    assert high - low < 0.6 * (wide[1] - wide[0])
    balanced = draws.score([easy < 0.6, easy < 0.61], everyone, "balanced_accuracy")
    assert balanced.value == pytest.approx(one.value, abs=0.02)
