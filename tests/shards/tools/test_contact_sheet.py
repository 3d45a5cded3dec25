"""The contact sheet shows the first images of every cell, in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from shards import ShardSet, decode_image
from shards.tools.contact_sheet import drawn


def test_every_cell_shows_its_first_images(make_shards: Callable[..., Path]) -> None:
    """Two classes by two groups, two images of 16 pixels each; a missing one is a grey square."""
    data = ShardSet.open(make_shards(7, size=16))
    sheet = decode_image(drawn(data, per_cell=2, thumb=16))
    assert sheet.shape[0] == 20 + 2 * (16 + 4) + 18
    left = sheet.shape[1] - 2 * (2 * (16 + 2) + 4)
    for line, label in enumerate(data.classes):
        for column, group in enumerate(data.groups):
            cell = data.where(cls=label, group=group)
            for number in range(2):
                y, x = 20 + line * 20, left + column * 40 + number * 18
                shown = sheet[y : y + 16, x : x + 16]
                expected = cell.image_at(number)[1] if number < cell.n else np.full((16, 16, 3), 235)
                np.testing.assert_array_equal(shown, expected)


def test_no_place_is_kept_for_images_that_no_cell_has(make_shards: Callable[..., Path]) -> None:
    data = ShardSet.open(make_shards(7, size=16))
    assert drawn(data, per_cell=9, thumb=16) == drawn(data, per_cell=2, thumb=16)
