"""Planted copies are found and unseen real images are not: the positive and the negative control."""

from __future__ import annotations

import doctest
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_helpers import phantoms, renderings, synthetic_set

from dermforge.common.errors import UserError
from dermforge.common.least_numbers import PLANTED_COPIES
from evalsuite.images.privacy import audit
from evalsuite.images.privacy.audit import audit_copies
from evalsuite.images.privacy.planted_copies import KINDS


@pytest.mark.parametrize("source", ["phantoms", "renderings"])
def test_planted_copies_are_found_without_false_alarms(source: str, tmp_path: Path) -> None:
    """Of each kind of copy 95 % are found, of hard kinds half; at most 1 % of fresh real images are called copies."""
    pool = phantoms(100, 0) + phantoms(100, 10_000) + phantoms(100, 20_000) if source == "phantoms" else renderings()
    cut = (100, 200) if source == "phantoms" else (80, 140)
    train, unseen, fresh = pool[: cut[0]], pool[cut[0] : cut[1]], pool[cut[1] :]
    rng = np.random.default_rng(0)
    planted, kinds, origins = [], [], []
    for kind, plant in KINDS.items():
        for i in range(0, len(train), len(train) // 20):
            planted.append(plant(train[i], rng))
            kinds.append(kind)
            origins.append(f"train-{i}")
    audit = audit_copies(
        train=np.stack(train), synthetic=np.stack(planted + fresh), test=np.stack(unseen), control=1, folder=tmp_path
    )
    found = audit.images["copy"].to_numpy()
    by_kind = {k: found[: len(kinds)][np.array(kinds) == k].mean() for k in KINDS}
    hard = {"cropped to 60 %", "turned by 15 degrees"} if source == "renderings" else {"cropped to 60 %"}
    assert all(share >= (0.5 if kind in hard else 0.95) for kind, share in by_kind.items()), by_kind
    assert found[len(kinds) :].mean() <= 0.01
    assert (audit.images["nearest"][: len(kinds)] == origins).mean() >= 0.97  # and the right one is shown
    assert set(audit.quarantine) == {f"synthetic-{i}" for i in np.flatnonzero(found)}


def test_a_clean_set_passes_and_one_with_copies_fails(tmp_path: Path) -> None:
    train, test = synthetic_set(phantoms(60, 0), "train"), synthetic_set(phantoms(100, 10_000), "test")
    made = synthetic_set(phantoms(36, 20_000), "s")
    clean = audit_copies(train=train, synthetic=made, test=test, control=PLANTED_COPIES, folder=tmp_path)
    assert clean.status == "good"
    few = audit_copies(train=train, synthetic=made, test=test, control=2, folder=tmp_path)
    assert few.status == "unknown"
    assert "2 planted copies of a kind are too few" in few.sentence
    half = synthetic_set(phantoms(18, 20_000) + phantoms(18, 0), "s")
    copied = audit_copies(train=train, synthetic=half, test=test, control=2, folder=tmp_path)
    assert copied.status == "bad"
    overall = copied.rates[(copied.rates["family"] == "overall")].iloc[0]
    assert overall["low"] < 0.5 < overall["high"]


def test_without_a_test_set_training_images_calibrate_and_it_is_said(tmp_path: Path) -> None:
    train = synthetic_set(phantoms(60, 0), "train")
    audit = audit_copies(train=train, synthetic=synthetic_set(phantoms(12, 0), "s"), control=1, folder=tmp_path)
    assert audit.images["copy"].all()
    assert "no test set" in audit.calibration.sentence()
    assert audit.calibration.false_alarms == pytest.approx(1 / 61)  # not the 1 % that was asked for


def test_a_feature_space_can_be_added_by_name() -> None:
    train, test = synthetic_set(phantoms(40, 0), "train"), synthetic_set(phantoms(40, 10_000), "test")
    made = synthetic_set(phantoms(6, 0), "s")
    audit = audit_copies(train=train, synthetic=made, test=test, extractors=["random-conv-seed0"], control=1)
    assert audit.images["cosine[random-conv-seed0]"].min() > 0.999
    for nearest in ("nearest", "nearest_phash", "nearest_cosine[random-conv-seed0]"):
        assert audit.images[nearest].tolist() == [f"train-{i}" for i in range(6)]
    assert audit.images["copy"].all()


def test_test_images_from_the_training_set_are_refused() -> None:
    train = np.stack(phantoms(30, 0))
    with pytest.raises(UserError, match="cannot calibrate"):
        audit_copies(train=train, synthetic=train, test=train)


def test_arrays_give_a_calibrated_verdict_with_its_controls() -> None:
    """Copies are counted and located; the controls and the promise are there."""
    train, test, fresh = (np.stack(phantoms(n, start)) for n, start in ((60, 0), (300, 10_000), (24, 20_000)))
    found = audit_copies(train=train, synthetic=np.concatenate([fresh, train[:6, :, ::-1]]), test=test, control=4)
    assert (found.rate.value, found.rate.n, found.status) == (6 / 30, 30, "bad")
    assert found.quarantine == [f"synthetic-{i}" for i in range(24, 30)]
    assert found.images["nearest"][24:].tolist() == [f"train-{i}" for i in range(6)]
    assert (found.images["score"] > found.calibration.threshold).sum() == 6
    planted: Any = found.control.set_index("kind")
    assert planted.loc["all", "n"] == 4 * len(KINDS)
    assert planted.loc["all", "rate"] >= 0.95
    assert found.alarms.low < found.calibration.false_alarms < found.alarms.high < 0.04  # 1 % of 300
    assert audit_copies(train=train, synthetic=fresh, test=test, control=PLANTED_COPIES).status == "good"


def test_unseen_images_that_are_all_copies_calibrate_nothing() -> None:
    rng = np.random.default_rng(0)
    train, fresh = np.stack(phantoms(30, 0)), np.stack(phantoms(2, 20_000))
    near = np.clip(train + rng.normal(0, 1, train.shape), 0, 255).astype(np.uint8)
    with pytest.raises(UserError, match=r"show a lesion of the training set .*split by lesion or patient"):
        audit_copies(train=train, synthetic=fresh, test=near, control=1)


def test_an_audit_that_misses_planted_copies_says_that_it_proves_nothing() -> None:
    """Pictures of one colour are all copies of each other: no threshold can tell."""
    train, test, fresh = (np.full((n, 32, 32, 3), 180, np.uint8) for n in (20, 30, 2))
    steps = np.arange(20, dtype=np.uint8)[:, None, None, None]
    unseen = test - np.arange(30, dtype=np.uint8)[:, None, None, None]
    found = audit_copies(train=train + steps, synthetic=fresh, test=unseen[:, :, :, ::-1] - 40, control=4)
    assert found.status == "unknown"
    assert found.control.iloc[0]["rate"] < 0.95
    assert "Too few planted copies" in found.sentence


def test_copies_among_the_unseen_images_do_not_move_the_threshold() -> None:
    """Four per cent of the calibration set are altered training images: they are named, and nothing else changes."""
    train, unseen, made = (np.stack(phantoms(n, start)) for n, start in ((40, 0), (75, 10_000), (4, 20_000)))
    rng = np.random.default_rng(0)
    kinds = ("noised", "turned by a right angle", "brighter")
    planted = np.stack([KINDS[kind](train[5 * i], rng) for i, kind in enumerate(kinds)])
    clean = audit_copies(train=train, synthetic=made, test=unseen, control=1)
    leaky = audit_copies(train=train, synthetic=made, test=np.concatenate([unseen, planted]), control=1)
    assert leaky.calibration.threshold == pytest.approx(clean.calibration.threshold, abs=1e-6)
    named = leaky.left_out.set_index("id")["nearest"].to_dict()
    assert named.items() >= {f"test-{75 + i}": f"train-{5 * i}" for i in range(3)}.items()
    assert f"{len(leaky.left_out)} real images are left out of the calibration:" in leaky.sentence


def test_the_example_runs() -> None:
    assert doctest.testmod(audit).failed == 0


def test_too_few_patients_are_refused_before_any_search() -> None:
    """Else minutes pass before it is said."""
    train, test = np.stack(phantoms(2, 0)), np.stack(phantoms(4, 10_000))
    with pytest.raises(UserError, match="4 unseen real images to calibrate the audit; expected at least 20"):
        audit_copies(train=train, synthetic=train, test=test, track=_no_work)


def _no_work(items: Iterable[Any], what: str, total: int | None) -> Iterable[Any]:
    raise AssertionError(what)
