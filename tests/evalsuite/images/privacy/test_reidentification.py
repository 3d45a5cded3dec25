"""The risk of recognition: copies in an encoder are found, unseen images are not, a blind encoder says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from image_helpers import features, phantoms, synthetic_set

from evalsuite.images.features.extract import Features
from evalsuite.images.features.nearest import largest_cosine
from evalsuite.images.privacy.audit import audit_copies
from evalsuite.images.privacy.audit_report import privacy_section
from evalsuite.images.privacy.reidentification import (
    SAYS,
    reidentification_sentence,
    reidentification_table,
    same_patient,
)

COLUMN = "cosine[encoder]"


def side(n: int, seed: int, *, like: np.ndarray | None = None, noise: float = 0.0, word: str = "x") -> Features:
    """Random directions of 32 numbers, or those of other images with noise."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 32)) if like is None else like[:n] + noise * rng.normal(size=(n, 32))
    frame = features(n).frame.assign(id=[f"{word}-{i}" for i in range(n)])
    return replace(features(n), values=values.astype(np.float32), frame=frame)


def nearness(queries: Features, known: Features) -> pd.DataFrame:
    return queries.frame.assign(**{COLUMN: largest_cosine(queries, known)["cosine"].to_numpy()})


def table(made: Features, known: Features, planted: Features) -> Any:
    unseen = side(300, 1, word="unseen")
    a, b, c = (nearness(each, known) for each in (made, unseen, planted))
    return reidentification_table(a, b, c, {COLUMN: known}, 0.01, "unseen images").iloc[0]


def test_copies_in_one_encoder_are_more_than_chance_and_fresh_images_are_not() -> None:
    known = side(200, 0, word="train")
    planted = side(40, 2, like=known.values, noise=0.05)
    leaky = side(100, 3)
    leaky.values[:30] = known.values[:30] + 0.1 * np.random.default_rng(4).normal(size=(30, 32))
    row = table(leaky, known, planted)
    assert (row["status"], row["images"]) == ("bad", 100)
    assert 30 <= row["above"] <= 32  # and at most two false alarms
    assert row["low"] < 0.3 < row["high"]
    assert row["largest"] == pytest.approx(nearness(leaky, known)[COLUMN].max())
    assert row["mean"] == pytest.approx(nearness(leaky, known)[COLUMN].mean())
    assert row["unseen_largest"] < row["threshold"] + 0.05
    fresh = table(side(100, 5), known, planted)
    assert fresh["status"] in ("good", "warn")
    assert fresh["rate"] <= 0.03
    assert fresh["planted"] == 1


def test_an_encoder_that_misses_planted_copies_proves_nothing() -> None:
    known = side(200, 0, word="train")
    row = table(side(100, 5), known, side(40, 2))
    assert row["status"] == "unknown"
    assert SAYS["unknown"].startswith("cannot be determined")


def test_photographs_of_one_patient_say_what_the_encoder_recognises() -> None:
    known = side(40, 0, word="train")
    assert np.isnan(same_patient(known, 0.9).value)
    known.values[1:20:2] = known.values[:20:2] + 0.05 * np.random.default_rng(1).normal(size=(10, 32))
    known.frame["cluster"] = [f"patient-{i // 2}" for i in range(40)]
    found = same_patient(known, 0.9)  # ten patients photographed twice, ten with two pictures that are nothing alike
    assert (found.value, found.n) == (0.5, 40)
    assert found.low < 0.5 < found.high


def test_the_audit_shows_the_risk_beside_the_copies() -> None:
    """Images whose pixels are new and whose encoder is fooled: no copies, and yet something to look at."""
    train, test = synthetic_set(phantoms(40, 0), "train"), synthetic_set(phantoms(60, 10_000), "test")
    made = synthetic_set(phantoms(30, 20_000), "s")
    plain = audit_copies(train=train, synthetic=made, test=test, control=1)
    assert plain.reidentification.empty
    assert reidentification_sentence(plain.reidentification) == ""
    audit = audit_copies(train=train, synthetic=made, test=test, extractors=["random-conv-seed0"], control=1)
    row: Any = audit.reidentification.iloc[0]
    cosine = audit.images["cosine[random-conv-seed0]"]
    assert (row["encoder"], row["images"]) == ("random-conv-seed0", 30)
    assert row["above"] == (cosine > row["threshold"]).sum()
    assert ", in one encoder alone: by random-conv-seed0" in audit.sentence
    captions = [getattr(block, "caption", "") for block in privacy_section(audit, train, made, test).shown["privacy"]]
    assert any(caption.startswith("Can a patient be recognised?") for caption in captions)
    risky = replace(audit, reidentification=audit.reidentification.assign(status="bad"))
    assert (risky.status == "good") is False
