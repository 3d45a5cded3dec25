"""A filter is judged by the paired difference that it makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_helpers import write_shards
from training_helpers import recipe

from dermforge.common.errors import UserError
from evalsuite.fairness.predictions import Predictions, from_frame
from evalsuite.images.filter import filter_trial
from evalsuite.images.filter.filter_trial import TrialDesign
from evalsuite.study.run_arms import Options
from shards import open_data


def predictions_of(right: np.ndarray, groups: list[str]) -> Predictions:
    """Two classes; an item is right or wrong as told."""
    n = len(right)
    label = np.array(["a", "b"])[np.arange(n) % 2]
    says_a = (label == "a") == right
    frame = pd.DataFrame(
        {
            "id": [f"t{i}" for i in range(n)],
            "label": label,
            "prob_a": says_a * 1.0,
            "prob_b": 1.0 - says_a,
            "group": groups,
        }
    )
    return from_frame(frame)


def test_a_filter_is_judged_by_the_paired_difference_in_each_group() -> None:
    """Planted: the filter helps light skin by 20 points and hurts dark skin by 20."""
    rng, groups = np.random.default_rng(0), ["light", "dark"] * 300
    better = np.array([0.2 if g == "light" else -0.2 for g in groups])
    tables = {
        side: [predictions_of(rng.random(600) < 0.7 + (better if side == "with" else 0), groups) for _ in range(3)]
        for side in ("without", "with")
    }
    table = filter_trial.compare(tables, 300)
    verdicts = dict(zip(table["group"], table["verdict"], strict=True))
    assert (verdicts["light"], verdicts["dark"]) == ("helps", "hurts")
    found = table.set_index("group")["difference"]
    assert found["light"].low < 0.2 < found["light"].high
    assert found["dark"].low < -0.2 < found["dark"].high
    part = filter_trial.trial_section(filter_trial.Trial(table, TrialDesign(recipe(), 16), 5.0))
    assert part.status == "bad"
    assert "hurts dark" in part.verdict
    same = filter_trial.compare(dict.fromkeys(tables, tables["with"]), 300)
    assert set(same["verdict"]) == {"no relevant difference"}


def test_the_trial_trains_both_sides_on_equally_many_images(tmp_path: Path) -> None:
    """What differs is which images were drawn, not how many; a class without a kept image is refused."""
    for split, start in (("train", 0), ("validation", 100), ("test", 200)):
        write_shards(tmp_path / "real" / split, start, 1, "phantom", split)
    write_shards(tmp_path / "made", 300, 2, "synthetic", None)
    ids = list(open_data(tmp_path / "made").rows["id"])
    design = TrialDesign(recipe(ratio=9.0, steps=2, batch=12), n_real=2, seeds=1)
    trial = filter_trial.conduct(tmp_path / "real", tmp_path / "made", ids[::2], tmp_path / "out", design, Options(1))
    assert trial.ratio == 3.0  # 36 kept of 6 classes allow 6 for 2 real ones
    results = [json.loads(f.read_text()) for f in sorted((tmp_path / "out").rglob("result.json"))]
    assert [r["synthetic"] for r in results] == [36, 36]
    assert results[0]["digest"] != results[1]["digest"]
    assert trial.table["group"].iloc[0] == "all"
    with pytest.raises(UserError, match="keeps no image of"):
        filter_trial.conduct(tmp_path / "real", tmp_path / "made", ids[:3], tmp_path / "none", design)


def test_the_trial_takes_all_real_images_where_classes_are_unequal(tmp_path: Path) -> None:
    """A generator that was tuned on all of them is refused beside fewer, and no clinic has as many of each class."""
    for split, start in (("train", 0), ("validation", 100), ("test", 200)):
        write_shards(tmp_path / "real" / split, start, 1, "phantom", split, of_the_first=2)
    write_shards(tmp_path / "made", 300, 2, "synthetic", None)
    ids = list(open_data(tmp_path / "made").rows["id"])
    trial = filter_trial.conduct(
        tmp_path / "real",
        tmp_path / "made",
        ids,
        tmp_path / "out",
        TrialDesign(recipe(ratio=9.0, steps=2, batch=12), seeds=1),
        Options(1),
    )
    assert trial.ratio == 1.714  # 12 of a class for 42 real ones of 6 classes
    assert filter_trial.trial_section(trial).verdict.startswith("With all real images, 1.714 synthetic ones")
