"""`bench study`: every repeat trains all its arms, and the features can be learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.suites import study


def test_each_repeat_trains_a_new_study(tmp_path: Path) -> None:
    """Finished arms are kept by the study: a second run in the same folder would train nothing and look very fast."""
    found = {m.name: m for m in study.measure(tmp_path, 12, 8, 1, 2)}
    assert set(found) == {"study/ours", "study/scikit-learn"}
    assert found["study/ours"].details == {"arms": 12, "bar": study.BAR}
    assert all(len(list((tmp_path / f"study-{turn}").rglob("result.json"))) == 12 for turn in range(2))


def test_the_features_can_be_learnt() -> None:
    """The classes lie apart, and not so far that nothing is left to do."""
    values, labels = study.mixture(np.arange(1000) % 10, 512)
    centres = np.stack([values[:500][labels[:500] == c].mean(0) for c in range(10)])
    right = (np.square(values[500:, None] - centres).sum(2).argmin(1) == labels[500:]).mean()
    assert 0.3 < right < 0.999
