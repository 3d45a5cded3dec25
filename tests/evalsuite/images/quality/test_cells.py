"""Cells are compared at equal n, small ones are named, and linear classifiers answer as planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evalsuite.images.features.extractors import Extractor
from evalsuite.images.features.features import Features, families
from evalsuite.images.quality.cells import NONE, quality_table
from evalsuite.images.quality.quality_report import by_cell, per_image_table, quality_report
from evalsuite.images.quality.utility import discriminator, matched_rows, utility_table
from evalsuite.page.measurement import frame_table

PLAIN = Extractor("plain", "plain", lambda images: images.reshape(len(images), -1).astype(np.float32))


def features(
    n: int,
    *,
    shift: float = 0.0,
    seed: int = 0,
    classes: int = 3,
    groups: tuple[str, ...] = ("light", "dark"),
    parent: list[str] | None = None,
) -> Features:
    """Gaussian clouds, one a class, moved by `shift` in every number."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % classes
    values = rng.normal(size=(n, 8)) + shift + 4 * np.eye(8)[label]
    frame = pd.DataFrame(
        {
            "id": [f"{seed}-{i}" for i in range(n)],
            "class": [f"c{k}" for k in label],
            "group": [groups[i // classes % len(groups)] for i in range(n)],
            "strategy": "text-to-image",
            "split": None,
            "cluster": None,
            "parent": parent,
            "image_sha256": "",
        }
    )
    return Features(values.astype(np.float32), frame, PLAIN, "digest")


def test_every_cell_of_a_family_has_the_same_n() -> None:
    cells = quality_table(features(240), features(300, seed=1), resamples=5)
    measured = cells[cells["metric"] == "KD[plain]"]
    assert (measured.groupby("family")["n"].nunique() == 1).all()
    assert set(measured["family"]) == {"overall", "class", "group", "strategy", "class x group", "floor"}
    assert cells["metric"].iloc[0] == "KD[plain]"  # the unbiased one in front


def test_small_cells_are_named_and_do_not_shrink_the_others() -> None:
    synthetic = features(300, seed=1)
    synthetic.frame.loc[:3, "group"] = "rare"
    cells = quality_table(features(240), synthetic, resamples=5, families=("group",))
    rare = cells[cells["cell"] == "rare"]
    assert len(rare) == 1
    assert np.isnan(rare.iloc[0]["value"])
    assert "too few" in rare.iloc[0]["note"]
    assert cells[cells["cell"] == "light"]["n"].max() >= 100


def test_a_shifted_set_is_further_than_the_floor_and_an_equal_one_is_not() -> None:
    real = features(300)
    for shift, further in ((0.0, False), (1.0, True)):
        report = quality_report([(real, features(300, shift=shift, seed=1))], resamples=20)
        cells = report.cells.set_index(["family", "metric"])
        distance, floor = cells.loc[("overall", "KD[plain]")], cells.loc[("floor", "KD[plain]")]
        assert (distance["low"] > floor["high"]) is np.bool_(further)
        assert report.section.status == ("bad" if further else "good"), report.section.verdict


def whole(utility: pd.DataFrame) -> pd.Series:
    return utility[utility["family"] == "overall"].set_index("metric")["value"]


def test_one_skin_type_that_is_drawn_wrong_is_found() -> None:
    """The classes of dark images are shuffled and their pixels moved: only their rows show it."""
    real, synthetic = features(360), features(360, seed=1)
    dark = (synthetic.frame["group"] == "dark").to_numpy()
    rng = np.random.default_rng(0)
    synthetic.frame.loc[dark, "class"] = rng.permutation(synthetic.frame.loc[dark, "class"])
    synthetic.values[dark] += 2
    table = utility_table(real, synthetic, resamples=50)
    groups = table[table["family"] == "group"].set_index(["metric", "cell"])["value"]
    assert groups["real to synthetic [plain]", "light"] > 0.9
    assert groups["real to synthetic [plain]", "dark"] < 0.6
    assert groups["real or synthetic [plain]", "dark"] > groups["real or synthetic [plain]", "light"] + 0.2


def test_the_linear_classifiers_see_at_most_max_n() -> None:
    """Memory and time stay bounded however many images there are; classes stay equal."""
    a, b = matched_rows(features(600).frame, features(900, seed=1).frame, max_n=90)
    assert len(a) == len(b) == 90
    assert features(600).frame["class"].iloc[a].value_counts().tolist() == [30, 30, 30]


def test_a_floor_at_another_n_says_so() -> None:
    """A Frechet distance falls with n, so halves of a small real set are no floor for it."""
    cells = quality_table(features(100), features(300, seed=1), resamples=5, families=("overall",))
    floor = cells[cells["family"] == "floor"]
    assert (floor["n"] == 50).all()
    assert floor["note"].str.contains("compare the kernel distance only").all()


def test_accuracy_scores_go_both_ways() -> None:
    """Classes that carry over score high in all directions; shuffled synthetic labels score at chance."""
    real, synthetic = features(240), features(240, seed=1)
    good = whole(utility_table(real, synthetic, resamples=50))
    assert good.drop("real or synthetic [plain]").min() > 0.9
    synthetic.frame["class"] = np.random.default_rng(0).permutation(synthetic.frame["class"])
    bad = whole(utility_table(real, synthetic, resamples=50))
    assert bad["real to real [plain]"] > 0.9
    assert bad["synthetic to real [plain]"] < 0.6
    assert bad["real to synthetic [plain]"] == pytest.approx(1 / 3, abs=0.12)


def test_a_parent_and_its_child_share_a_fold() -> None:
    """Copies of real images must not be told apart by having seen their parent in training."""
    real = features(100)
    child = features(100, parent=list(real.frame["id"]))
    family = real.frame["id"].to_numpy(dtype=object)
    group = np.concatenate([real.frame["group"], child.frame["group"]])
    estimate = discriminator(real.values, child.values, family, family, group).estimate(resamples=50)
    assert estimate.low <= 0.5 <= estimate.high + 0.05


def test_matched_rows_have_the_same_classes() -> None:
    real, synthetic = features(90), features(60, seed=1, classes=2)
    a, b = matched_rows(real.frame, synthetic.frame)
    assert real.frame["class"].iloc[a].tolist() == synthetic.frame["class"].iloc[b].tolist()
    assert set(real.frame["class"].iloc[a]) == {"c0", "c1"}


def test_every_synthetic_image_has_a_row() -> None:
    real, synthetic = features(60), features(50, seed=1)
    frame = per_image_table([(real, synthetic)])
    assert frame["id"].tolist() == synthetic.frame["id"].tolist()
    expected = np.sqrt(((synthetic.values[0] - real.values) ** 2).sum(1)).min()
    assert frame["nearest_real[plain]"].iloc[0] == pytest.approx(expected, rel=1e-5)


def test_what_was_made_from_one_photograph_makes_no_interval_narrower() -> None:
    """Eight images of each of 30 photographs: 240 images that are 30 in truth, in every metric that has an interval."""
    real, alone = features(240), features(240, seed=1)
    place = np.arange(240) // 24 * 3 + np.arange(240) % 3  # the class stays
    alone.frame.loc[place % 5 == 0, "class"] = "c0"  # a fifth of the photographs is labelled wrong, so shares can vary
    alone.values[:] = alone.values[place] + np.random.default_rng(2).normal(0, 0.01, (240, 8))
    of_a_few = replace(alone, frame=alone.frame.assign(parent=[f"photo-{k}" for k in place]))
    widths = []
    for made in (alone, of_a_few):
        table = quality_table(real, made, resamples=40, families=("overall",))
        table = table[table["family"] == "overall"].set_index("metric")
        widths.append(table["high"] - table["low"])
    for metric in (
        "KD[plain]",
        "FD[plain]",
        "MMD[plain]",
        "precision[plain]",
        "density[plain]",
        "Vendi, synthetic[plain]",
    ):
        assert widths[1][metric] > 1.3 * widths[0][metric], metric
    told = [utility_table(real, made, resamples=200).set_index(["family", "metric"]) for made in (alone, of_a_few)]
    same, fewer = (t.loc[("overall", "real to synthetic [plain]")] for t in told)
    assert same["value"] == fewer["value"]
    assert fewer["high"] - fewer["low"] > 1.3 * (same["high"] - same["low"])


def test_the_halves_of_the_floor_share_no_patient() -> None:
    """Two images of a patient are nearly equal: split over both halves they would be a floor that nothing reaches."""
    real = features(240)
    real.values[1::2] = real.values[::2]
    apart = replace(real, frame=real.frame.assign(cluster=[f"patient-{i // 2}" for i in range(240)]))
    floor = [
        quality_table(x, features(240, seed=1), resamples=5, families=("overall",))
        .set_index(["family", "metric"])
        .loc[("floor", "density[plain]"), "value"]
        for x in (real, apart)
    ]
    assert floor[0] > 0.85 > 0.75 > floor[1]


def test_a_child_is_of_its_parents_patient() -> None:
    """`shards make` names patients by cluster: by the parent's id alone a child would cross the folds."""
    real = features(6).frame.assign(cluster=["p1", "p1", "p2", None, None, None])
    made = features(4, seed=1).frame.assign(parent=["0-1", "0-3", "elsewhere", None])
    assert families(real).tolist() == ["p1", "p1", "p2", "0-3", "0-4", "0-5"]
    assert families(made, real).tolist() == ["p1", "0-3", "elsewhere", "1-3"]


def test_a_report_has_a_row_a_cell_and_a_column_a_metric() -> None:
    """Nothing is lost on the way from the long table: values with intervals, n, and why one is missing."""
    long = pd.DataFrame(
        [
            {
                "family": "overall",
                "cell": "all",
                "metric": "KD",
                "value": 0.5,
                "low": 0.4,
                "high": 0.6,
                "n": 90,
                "note": "",
            },
            {
                "family": "overall",
                "cell": "all",
                "metric": "FD",
                "value": np.nan,
                "low": np.nan,
                "high": np.nan,
                "n": 90,
                "note": "rank",
            },
            {
                "family": "class",
                "cell": "a",
                "metric": "KD",
                "value": 0.25,
                "low": 0.2,
                "high": 0.3,
                "n": 40,
                "note": "",
            },
            {
                "family": "class",
                "cell": "a",
                "metric": "FD",
                "value": 1.0,
                "low": np.nan,
                "high": np.nan,
                "n": 30,
                "note": "",
            },
            {
                "family": "class",
                "cell": "b",
                "metric": NONE,
                "value": np.nan,
                "low": np.nan,
                "high": np.nan,
                "n": 3,
                "note": "too few",
            },
        ]
    )
    shown = by_cell(long)
    assert shown.columns.tolist() == ["cell", "n", "KD", "FD", "remark"]
    assert shown["cell"].tolist() == ["all", "a", "b"]
    assert shown["n"].tolist() == ["90", "30 to 40", "3"]
    assert shown["KD"].tolist()[:2] == ["0.5 (0.4 to 0.6)", "0.25 (0.2 to 0.3)"]
    assert shown["FD"].tolist()[:2] == ["not enough data", "1"]
    assert shown["remark"].tolist() == ["rank", "", "too few"]
    assert frame_table(shown, "c").rows[2] == ["b", "3", "not enough data", "not enough data", "too few"]
