"""Synthetic images stand for the images that they were made from, of the same class and group, and for no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermforge.common.errors import UserError
from evalsuite.fairness import rare_groups
from evalsuite.fairness.metric_key import ShareMetric
from evalsuite.fairness.predictions import Predictions, from_frame


def tables(seed: int = 0, real: int = 60, others: int = 300) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labelled images with one skin type in five VI, two synthetic images of each, and two of many without a label."""
    rng = np.random.default_rng(seed)
    n = real + others
    label, fst = rng.choice(["nevus", "melanoma"], n), np.where(np.arange(n) % 5 == 0, "VI", "II")
    right = rng.random(n) < np.where(fst == "VI", 0.6, 0.9)
    frame = pd.DataFrame({"id": [f"r{i}" for i in range(n)], "label": label, "fst": fst, "right": right})
    made = frame.loc[frame.index.repeat(2)].rename(columns={"id": "parent"}).reset_index(drop=True)
    made["id"] = [f"s{i}" for i in range(len(made))]
    made["right"] = np.where(rng.random(len(made)) < 0.85, made["right"], rng.random(len(made)) < 0.5)
    return called(frame[:real]), called(made)


def called(frame: pd.DataFrame) -> pd.DataFrame:
    melanoma = np.where((frame["label"] == "melanoma") == frame["right"], 0.9, 0.1)
    return frame.assign(prob_nevus=1 - melanoma, prob_melanoma=melanoma).drop(columns="right")


def loaded(real: pd.DataFrame, made: pd.DataFrame) -> tuple[Predictions, Predictions, dict[str, str]]:
    parent = dict(zip(made["id"], made["parent"], strict=True))
    return from_frame(real, groups=["fst"]), from_frame(made, groups=["fst"]), parent


def test_each_group_has_its_real_images_and_its_others() -> None:
    real, made = tables()
    two, six = rare_groups.estimate(*loaded(real, made), "fst", ShareMetric.accuracy)
    assert (two.name, two.real, two.twins, two.others, two.doubt) == ("II", 48, 48, 240, "")
    assert (six.name, six.real, six.twins, six.others, six.doubt) == ("VI", 12, 12, 60, "")
    assert six.powered.worth > 12
    assert six.powered.real_only.value == pytest.approx((real[real["fst"] == "VI"].pipe(right)).mean())


def right(frame: pd.DataFrame) -> pd.Series:
    return (frame["prob_melanoma"] > 0.5) == (frame["label"] == "melanoma")


def test_a_sensitivity_counts_its_class_alone() -> None:
    real, made = tables()
    two, _ = rare_groups.estimate(*loaded(real, made), "fst", ShareMetric.sensitivity, "melanoma")
    other, _ = rare_groups.estimate(*loaded(real, made), "fst", ShareMetric.specificity, "nevus")
    mine = real[(real["fst"] == "II") & (real["label"] == "melanoma")]
    assert two.real == len(mine)
    assert two.powered.real_only.value == pytest.approx(right(mine).mean())
    assert other.powered == two.powered  # of two classes they are one question


def test_images_made_into_another_class_or_group_are_left_out_and_counted() -> None:
    """A child of skin type VI from a parent of II says nothing of how children of VI differ from their parents."""
    real, made = tables()
    changed = made.assign(fst=np.where(made["parent"] == "r1", "VI", made["fst"]))
    changed["label"] = np.where(changed["parent"] == "r2", "other", changed["label"])
    changed["label"] = changed["label"].replace({"other": "nevus" if real["label"][2] == "melanoma" else "melanoma"})
    two, six = rare_groups.estimate(*loaded(real, changed), "fst", ShareMetric.accuracy)
    assert (two.twins, two.strange) == (46, 2)
    assert (six.twins, six.strange) == (12, 2)


def test_few_images_are_doubted_and_so_are_others_of_another_kind() -> None:
    real, made = tables(real=40)
    _, six = rare_groups.estimate(*loaded(real, made), "fst", ShareMetric.accuracy)
    assert six.doubt.startswith("8 labelled images")
    real, made = tables(real=200)
    wrong = ~made["parent"].isin(real["id"])
    made.loc[wrong, ["prob_nevus", "prob_melanoma"]] = 0.5 + 0.4 * np.where(
        (made.loc[wrong, "label"] == "nevus").to_numpy()[:, None], [-1, 1], [1, -1]
    )
    two, _ = rare_groups.estimate(*loaded(real, made), "fst", ShareMetric.accuracy)
    assert "made from different kinds of images" in two.doubt


def test_an_image_without_a_parent_is_refused(tmp_path: Path) -> None:
    _, made = tables()
    made.loc[3, "parent"] = None
    made.to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(UserError, match=r"1 images have no parent \(such as s3\)"):
        rare_groups.parents(tmp_path / "s.csv")
    with pytest.raises(UserError, match="no column made_from"):
        rare_groups.parents(tmp_path / "s.csv", "made_from")


def test_a_class_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="no class 'scc' for the sensitivity; it has nevus, melanoma"):
        rare_groups.estimate(*loaded(*tables()), "fst", ShareMetric.sensitivity, "scc")
