"""Two encoders that agree give a verdict, two that contradict each other give none, and a blind one is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from image_helpers import PLAIN, features
from scipy.stats import spearmanr

from evalsuite.images.features.extract import Features
from evalsuite.images.quality.agreement import agreement_table, by_extractor, joint_verdict
from evalsuite.images.quality.quality_report import quality_report, quality_section


def kernel(name: str, values: list[float], width: float = 0.01, family: str = "class") -> pd.DataFrame:
    """Kernel distances of cells a, b, ... with intervals of a half width."""
    rows = [
        {
            "family": family,
            "cell": chr(97 + i),
            "metric": f"KD[{name}]",
            "value": v,
            "low": v - width,
            "high": v + width,
        }
        for i, v in enumerate(values)
    ]
    return pd.DataFrame(rows).assign(extractor=name, n=100, note="")


def both(first: list[float], second: list[float], width: float = 0.01) -> dict[str, Any]:
    table = agreement_table(pd.concat([kernel("one", first, width), kernel("two", second, width)]))
    return dict(table.iloc[0])


def test_an_order_is_the_same_where_every_sure_pair_is() -> None:
    found = both([0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 2.0, 3.0, 4.0, 4.005])
    assert (found["pairs"], found["same"], found["opposite"]) == (10, 9, 0)  # the last pair is not sure by the second
    assert found["says"] == "same order"
    assert found["spearman"] == pytest.approx(1)


def test_one_sure_pair_in_the_other_order_is_a_contradiction() -> None:
    first, second = [0.1, 0.2, 0.3, 0.4, 0.5], [0.1, 0.3, 0.2, 0.4, 0.5]
    found = both(first, second)
    assert (found["same"], found["opposite"], found["says"]) == (9, 1, "they contradict each other")
    assert found["spearman"] == pytest.approx(spearmanr(first, second).statistic)


def test_overlapping_intervals_and_few_cells_say_nothing() -> None:
    assert both([0.1, 0.2, 0.3], [0.3, 0.2, 0.1], width=1)["says"] == "cannot be determined"
    few = both([0.1, 0.2], [0.1, 0.2])
    assert pd.isna(few["spearman"])
    assert both([0.1], [0.1])["says"] == "not enough data"
    assert agreement_table(kernel("one", [0.1, 0.2])).empty


def test_cells_that_one_space_did_not_measure_are_left_out() -> None:
    second = kernel("two", [0.1, 0.2, 0.3])
    second.loc[1, ["value", "low", "high"]] = np.nan
    table = agreement_table(pd.concat([kernel("one", [0.1, 0.2, 0.3]), second]))
    assert table.iloc[0]["cells"] == 2


def space(name: str, side: Features, *, blind: bool = False) -> Features:
    values = np.random.default_rng(len(side.frame)).normal(size=side.values.shape) if blind else side.values
    return replace(side, values=values.astype(np.float32), extractor=replace(PLAIN, name=name))


@pytest.mark.parametrize(
    ("shift", "blind", "status", "words"),
    [
        (1.0, False, "bad", "are told apart by sees and other."),
        (0.0, False, "good", "are not told apart by sees and other."),
        (1.0, True, "unknown", "disagree: real and synthetic images are told apart by sees, not by other."),
    ],
)
def test_no_verdict_where_the_spaces_disagree(shift: float, blind: bool, status: str, words: str) -> None:
    real, made = features(300), features(300, shift=shift, seed=1)
    pairs = [(space("sees", real), space("sees", made))]
    pairs.append((space("other", real, blind=blind), space("other", replace(made, frame=made.frame[:]), blind=blind)))
    if blind:  # other noise on each side, of the same kind
        pairs[1][1].values[:] = np.random.default_rng(7).normal(size=made.values.shape)
    report = quality_report(pairs, resamples=20)
    assert report.status == status, report.sentence
    assert words in report.sentence
    each = report.by_extractor.set_index("extractor")["status"]
    assert (each["sees"], each["other"]) == (("bad", "good") if blind else (status, status))
    captions = [table.caption for table in quality_section(report).shown["fidelity"]]
    assert any(caption.startswith("Do the feature spaces agree?") for caption in captions)


def test_a_space_that_cannot_say_does_not_make_it_good() -> None:
    cells = pd.concat([kernel("one", [0.1], family="overall"), kernel("two", [0.1], family="overall")])
    auc = {"family": "overall", "value": 0.5, "low": 0.45, "n": 90, "note": ""}
    utility = pd.DataFrame(
        [
            auc | {"metric": "real or synthetic [one]", "high": 0.55, "extractor": "one"},
            auc | {"metric": "real or synthetic [two]", "high": 0.95, "extractor": "two"},
        ]
    )
    text, status = joint_verdict(cells, utility)
    assert by_extractor(cells, utility)["status"].tolist() == ["good", "unknown"]
    assert status == "unknown"
    assert "two cannot say." in text
