"""The analysis of a reader study gives known numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reader_helpers import answer, images
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from dermforge.common.errors import UserError
from evalsuite.reader_study import analysis
from evalsuite.reader_study.answers import append
from evalsuite.reader_study.blinded_set import KEY, SetDesign, make, open_study
from evalsuite.reader_study.server import checked


def answers_of(folder: Path, skill: float, readers: int = 3) -> None:
    """Readers who see the truth with a probability and guess otherwise."""
    study, key = open_study(folder), pd.read_csv(folder / KEY).set_index("item")
    for r in range(readers):
        rng = np.random.default_rng(r)
        for item in study.items:
            knows = rng.random() < skill
            realism = (4 if key.loc[item, "origin"] == "real" else 0) if knows else int(rng.integers(0, 5))
            diagnosis = key.loc[item, "class"] if knows else str(rng.choice(study.diagnoses))
            append(
                folder,
                checked(
                    answer(
                        study,
                        item,
                        f"reader{r}",
                        realism=study.realism[realism],
                        diagnosis=diagnosis,
                        group=key.loc[item, "group"],
                    ),
                    study,
                ),
            )


def test_perfect_readers_get_one_and_guessing_readers_a_half(tmp_path: Path) -> None:
    for name in ("perfect", "guessing"):
        make(images("r", 40, 0), images("s", 40, 100), tmp_path / name, SetDesign(64, 10, 1))
        answers_of(tmp_path / name, 1.0 if name == "perfect" else 0.0)
    study, perfect = analysis.load(tmp_path / "perfect")
    overall = analysis.reader_table(perfect, resamples=100).iloc[0]
    assert overall["discrimination"].value == 1.0
    assert overall["diagnosis_real"].value == 1.0
    assert [v.value for v in analysis.agreement(perfect, study)["value"]] == pytest.approx([1, 1, 1])
    _, guessing = analysis.load(tmp_path / "guessing")
    chance = analysis.reader_table(guessing, resamples=200).iloc[0]["discrimination"]
    assert chance.low < 0.5 < chance.high
    expected = roc_auc_score(guessing["truth"] == "real", guessing["realism"])
    assert chance.value == pytest.approx(expected)
    guessed = analysis.agreement(guessing, study)["value"].iloc[0]
    assert guessed.low < 0 < guessed.high
    assert analysis.study_section(analysis.analyse(tmp_path / "guessing")).shown["fidelity"]


def test_icc_is_shrout_and_fleiss() -> None:
    """Their table 4 example: ICC(2,1) = 0.29."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    assert analysis.icc(ratings) == pytest.approx(0.29, abs=0.005)


@pytest.mark.parametrize("weights", [None, "quadratic"])
def test_kappa_is_scikit_learns(weights: str | None) -> None:
    a, b = np.random.default_rng(0).integers(0, 4, (2, 60))
    assert analysis.kappa(a, b, weights) == pytest.approx(cohen_kappa_score(a, b, weights=weights))


def test_realism_is_correlated_with_the_gain() -> None:
    rng = np.random.default_rng(0)
    classes = [f"c{i}" for i in range(8)]
    answers = pd.DataFrame(
        {
            "truth": "synthetic",
            "truth_diagnosis": np.repeat(classes, 5),
            "realism": np.repeat(np.arange(8), 5) + rng.normal(0, 0.1, 40),
        }
    )
    gains = pd.DataFrame({"class": classes, "gain": np.arange(8) ** 2})
    assert analysis.gain_correlation(answers, gains).value == pytest.approx(1.0)
    with pytest.raises(UserError, match="class and gain"):
        analysis.gain_correlation(answers, gains.rename(columns={"gain": "x"}))


def test_many_readers_of_few_images_are_not_many_images() -> None:
    """Ten readers who agree on 20 images know those 20 images: the interval of a share is that of one reader."""
    right = np.random.default_rng(0).random(20) < 0.7
    one = pd.DataFrame(
        {
            "item": [f"q{i}" for i in range(20)],
            "reader": "a",
            "truth": "real",
            "realism": 3.0,
            "diagnosis": np.where(right, "x", "y"),
            "truth_diagnosis": "x",
            "group": "g",
            "truth_group": "g",
        }
    )
    ten = pd.concat([one.assign(reader=f"r{k}") for k in range(10)], ignore_index=True)
    alone, together = (analysis.reader_table(t, resamples=20).iloc[0]["diagnosis_real"] for t in (one, ten))
    assert together.value == alone.value
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.15)
