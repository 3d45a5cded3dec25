"""What an AUC of telling real from synthetic allows to say."""

from __future__ import annotations

import pytest

from evalsuite.page.image_check import told_apart


@pytest.mark.parametrize(
    ("low", "value", "high", "status"),
    [
        (0.42, 0.55, 0.68, "good"),
        (0.30, 0.70, 0.95, "unknown"),  # it holds both no difference and a plain one
        (0.55, 0.70, 0.85, "warn"),
        (0.85, 0.95, 0.99, "bad"),
    ],
)
def test_images_are_called_alike_only_where_a_plain_difference_is_excluded(
    low: float, value: float, high: float, status: str
) -> None:
    assert told_apart(low, value, high) == status
