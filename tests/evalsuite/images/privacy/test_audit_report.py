"""The section on copies shows the nearest pairs."""

from __future__ import annotations

import numpy as np
from image_helpers import phantoms

from evalsuite.images.image_data import array_images
from evalsuite.images.privacy.audit import audit_copies
from evalsuite.images.privacy.audit_report import PAIRS, privacy_section


def test_the_nearest_pairs_are_shown_and_copies_come_first() -> None:
    train = array_images(np.stack(phantoms(40, 0)), name="train")
    made = array_images(np.stack(phantoms(10, 20_000) + phantoms(4, 0)), name="made", origin="synthetic")
    part = privacy_section(audit_copies(train=train, synthetic=made, control=1), train, made)
    labels = [label for _, label in part.shown["privacy"][-1].jpegs]  # type: ignore[union-attr]
    assert [label.split()[0] for label in labels[:8:2]] == ["COPY"] * 4
    assert all(" > " in label or " < " in label for label in labels[::2])
    assert set(labels[1:8:2]) == {f"train-{i}" for i in range(4)}
    assert len(set(labels[1::2])) == len(labels) // 2 <= PAIRS


def test_a_picture_copied_often_is_shown_once_with_its_count() -> None:
    train = array_images(np.stack(phantoms(40, 0)), name="train")
    made = array_images(np.stack(phantoms(1, 0) * 5 + phantoms(3, 20_000)), name="made", origin="synthetic")
    part = privacy_section(audit_copies(train=train, synthetic=made, control=1), train, made)
    labels = [label for _, label in part.shown["privacy"][-1].jpegs]  # type: ignore[union-attr]
    assert [label for label in labels if label.startswith("train-0")] == ["train-0, 5 copies"]
    assert "not enough data" not in part.verdict


def test_a_verdict_without_measured_false_alarms_is_a_sentence() -> None:
    """Twenty unseen images calibrate, but are too few to leave some out."""
    train, test = (np.stack(phantoms(n, start)) for n, start in ((30, 0), (20, 10_000)))
    text = audit_copies(train=train, synthetic=train[:2], test=test, control=1).sentence
    assert "The false alarms could not be measured: 20 unseen images or patients are too few" in text
    assert "not enough data" not in text
