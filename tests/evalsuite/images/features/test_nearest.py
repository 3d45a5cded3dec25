"""Blocks give what one large matrix gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from image_helpers import clouds, features

from evalsuite.images.features import nearest
from evalsuite.images.features.nearest import distances, largest_cosine, nearest_distance


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "BLOCK", 16)


def test_the_nearest_distance_is_the_smallest_of_all() -> None:
    x, y = clouds(50, 37, 5)
    expected = np.linalg.norm(x[:, None] - y[None], axis=-1)
    np.testing.assert_allclose(distances(x, y), expected)
    np.testing.assert_allclose(nearest_distance(x, y), expected.min(1))


def test_the_largest_cosine_names_its_image_and_can_leave_out_the_image_itself() -> None:
    known = features(40)
    queries = replace(known, values=known.values[::-1] * 2, frame=known.frame[::-1].reset_index(drop=True))
    found = largest_cosine(queries, known)
    assert found["nearest"].tolist() == found.index.tolist()
    np.testing.assert_allclose(found["cosine"], 1)
    others = largest_cosine(queries, known, leave_out_self=True)
    assert (others["nearest"] != others.index).all()
    assert others["cosine"].max() < 1
