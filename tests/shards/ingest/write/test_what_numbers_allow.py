"""What a split allows, and the split that is proposed instead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermforge.common.least_numbers import AUDIT_PATIENTS, FILTER_VALIDATION, GROUP_IMAGES
from shards.ingest.write.dedupe import split_clusters
from shards.ingest.write.what_numbers_allow import count, needed, needed_for_groups, propose

DEFAULT = (0.7, 0.1, 0.2)


def split_rows(rows: pd.DataFrame, shares: tuple[float, ...], seed: int = 0) -> pd.DataFrame:
    """As `shards make` splits."""
    named = dict(zip(("train", "validation", "test"), shares, strict=True))
    strata = [f"{label}\0{group}" for label, group in zip(rows["class"], rows["group"], strict=True)]
    return rows.assign(split=split_clusters(rows["cluster"].tolist(), strata, named, seed))


def photographs(n: int, per_patient: int = 1, classes: int = 4, types: int = 6) -> pd.DataFrame:
    """n images: a class and a skin type each, several of a patient."""
    at = np.arange(n)
    rows = pd.DataFrame(
        {
            "class": [f"c{i % classes}" for i in at],
            "group": [str(1 + i % types) if types else None for i in at],
            "cluster": [f"patient-{i // per_patient}" for i in at],
        }
    )
    return split_rows(rows, DEFAULT)


def test_a_hundred_photographs_get_a_split_with_which_the_road_ends() -> None:
    """As filed: 100 images leave too few for validation, and afterwards no other split is possible."""
    rows = photographs(100)
    assert not count(rows).filter
    better = propose(rows, 0)
    assert better is not None
    assert better.numbers == count(split_rows(rows, better.shares))
    assert better.numbers.images["validation"] >= FILTER_VALIDATION
    assert better.numbers.patients >= AUDIT_PATIENTS


@pytest.mark.parametrize("n", [30, 41])
def test_too_few_photographs_get_no_split_but_a_number(n: int) -> None:
    """And with that number, there is a split."""
    rows = photographs(n, classes=2, types=0)
    assert propose(rows, 0) is None
    images, patients = needed(rows)
    assert n < images == patients
    assert propose(photographs(2 * images, classes=2, types=0), 0) is not None


def test_patients_count_once_for_the_audit() -> None:
    """Sixty images of six patients are no sixty unseen patients."""
    rows = photographs(60, per_patient=10)
    assert count(rows).patients == rows.loc[rows["split"] == "test", "cluster"].nunique() < 6
    assert propose(rows, 0) is None
    assert needed(rows)[1] > 20


def test_verdicts_for_more_skin_types_are_proposed() -> None:
    """Where the road ends anyway, and half of the images are left to train on."""
    rows = photographs(240)
    now, better = count(rows), propose(rows, 0)
    assert now.ends
    assert len(now.judged) < 6
    assert better is not None
    assert len(better.numbers.judged) == 6
    assert better.shares[0] >= 0.5
    assert needed_for_groups(rows, now) > 240


def test_enough_images_get_no_advice() -> None:
    rows = photographs(600)
    assert count(rows).ends
    assert len(count(rows).judged) == 6
    assert propose(rows, 0) is None


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["I", "VI", None]), st.integers(0, 60)), max_size=150),
    st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_a_proposal_is_kept_and_better(images: list[tuple[str, str | None, int]], seed: int) -> None:
    """Whatever the images: the proposed numbers are those that the split gives, and more than before is possible."""
    rows = pd.DataFrame([("a", None, 99), *images], columns=["class", "group", "cluster"])
    rows = split_rows(rows.assign(cluster=rows["cluster"].map("patient-{}".format)), DEFAULT, seed)
    now, better = count(rows), propose(rows, seed)
    assert sum(now.images.values()) == len(rows)
    assert all(now.groups[name] >= GROUP_IMAGES for name in now.judged)
    if better is not None:
        assert better.numbers == count(split_rows(rows, better.shares, seed))
        assert better.numbers.ends
        assert not now.ends or len(better.numbers.judged) > len(now.judged)
