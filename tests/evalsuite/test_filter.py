"""The filter drops what was planted, keeps its promise on real images, and says when one group loses more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite.filter import (
    apply,
    filter_section,
    intactness,
    recognition,
    thresholds_from,
    typicality,
    unequal_groups,
)
from evalsuite.quality.extractors import Extractor
from evalsuite.quality.features import ArrayImages, Preprocess, extract
from gen.phantoms import draw
from shards.errors import UserError
from shards.schema import Sample


def judged(n: int, groups: int = 3) -> pd.DataFrame:
    return pd.DataFrame({
        "id": [f"s{i}" for i in range(n)], "class": ["a", "b"] * (n // 2),
        "group": [f"g{i % groups}" for i in range(n)], "strategy": "text-to-image",
    })


@given(st.floats(0.01, 0.3), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_thresholds_drop_no_more_real_images_than_stated(rejection: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    real = {name: {f"r{i}": float(v) for i, v in enumerate(rng.normal(size=200))} for name in ("recognised", "typical")}
    cuts, rate = thresholds_from(real, rejection)
    frame = pd.DataFrame(real)
    assert (frame < pd.Series(cuts)).any(axis=1).mean() == pytest.approx(rate)
    assert rejection / 2 - 0.02 <= rate <= rejection


def test_too_few_real_images_are_refused() -> None:
    with pytest.raises(UserError, match="at least 20"):
        thresholds_from({"typical": {"a": 1.0}}, 0.05)


def test_a_filter_that_deletes_dark_skin_is_named() -> None:
    frame = judged(300)
    rng = np.random.default_rng(0)
    scores = {"typical": {r.id: rng.normal() - (1.5 if r.group == "g2" else 0) for r in frame.itertuples()}}
    done = apply(frame, scores, {"typical": -1.5}, 0.05)
    assert len(done.warnings) == 1
    assert "group g2" in done.warnings[0]
    assert filter_section(done)["status"] == "warn"
    row = done.rates.set_index("cell").loc["g2"]
    assert row["low"] < 0.5 < row["high"]


def test_an_even_filter_raises_no_warning() -> None:
    """Holm's correction: at most one false warning in twenty random filters."""
    alarms = 0
    for seed in range(20):
        frame = judged(300).assign(kept=np.random.default_rng(seed).random(300) > 0.2)
        alarms += bool(unequal_groups(frame))
    assert alarms <= 2


def test_keeping_the_balance_drops_the_worst_of_fuller_cells() -> None:
    frame = judged(240)
    rng = np.random.default_rng(0)
    scores = {"typical": {r.id: rng.normal() - (1.0 if r.group == "g1" else 0) for r in frame.itertuples()}}
    done = apply(frame, scores, {"typical": -1.0}, 0.05, keep_balance=True)
    shares = done.table.groupby(["class", "group"])["kept"].mean()
    assert shares.max() - shares.min() < 0.03
    kept = done.table[done.table["kept"]]
    assert kept["typical"].min() >= -1.0
    assert done.kept == sorted(kept["id"])


def test_broken_images_and_wrong_classes_score_low(tmp_path: Path) -> None:
    """White squares as one class, black ones as the other: a wrong label, noise and a constant image stand out."""
    rng = np.random.default_rng(0)

    def image(label: str) -> np.ndarray:
        base = 170 if label == "a" else 80
        return np.clip(rng.normal(base, 20, (32, 32, 3)), 2, 250).astype(np.uint8)

    def data(labels: list[str], word: str) -> ArrayImages:
        samples = [Sample(id=f"{word}{i}", origin="real", label=lab) for i, lab in enumerate(labels)]
        return ArrayImages(samples, [image(lab) for lab in labels])

    means = Extractor("means", "means", lambda x: x.reshape(len(x), -1, 3).mean(1).astype(np.float32) / 100)
    train = extract(data(["a", "b"] * 30, "t"), means, Preprocess(32, None), tmp_path)
    wrong = data(["a", "b"], "w")
    wrong = ArrayImages(wrong.samples, [wrong.arrays[1], wrong.arrays[1]])  # the first shows b and says a
    probed = extract(wrong, means, Preprocess(32, None), tmp_path)
    seen, near = recognition(train, probed), typicality(train, probed)
    assert seen["w0"] < 0.2 < 0.8 < seen["w1"]
    assert near["w0"] < near["w1"]
    flat = ArrayImages(
        [Sample(id=i, origin="synthetic", label="a") for i in ("flat", "white", "fine")],
        [np.full((32, 32, 3), 120, np.uint8), np.full((32, 32, 3), 255, np.uint8), draw("macule", "tan", 0).image],
    )
    intact = intactness(flat)
    assert intact["flat"] == intact["white"] == 0
    assert intact["fine"] > 5
