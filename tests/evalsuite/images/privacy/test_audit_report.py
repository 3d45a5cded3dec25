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
    assert len(labels) == 2 * PAIRS
    assert labels[:8:2] == ["COPY"] * 4
    assert set(labels[1:8:2]) == {f"train-{i}" for i in range(4)}
