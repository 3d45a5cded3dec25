"""A picture is laid over the place that it was taken from, and likeness there is that of a copy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from image_helpers import phantoms
from torch import Tensor

from evalsuite.images.privacy.descriptors import small_lab
from evalsuite.images.privacy.registration import align, compare, warped


def _pictures(n: int) -> Tensor:
    return torch.from_numpy(np.stack([small_lab(image) for image in phantoms(n, 0)])).permute(0, 3, 1, 2)


@pytest.mark.parametrize("angle", [-12, 5, 170])
def test_a_place_near_the_true_one_is_refined_to_it(angle: float) -> None:
    """Turned, cropped to 80 % and moved; the start is off by 6 degrees, 6 % and a twentieth of the side."""
    fixed = _pictures(6)

    def place(degrees: float, scale: float, move: float) -> Tensor:
        c, s = np.cos(np.radians(degrees)) * scale, np.sin(np.radians(degrees)) * scale
        return torch.tensor([[c, -s, move], [s, c, -move]], dtype=torch.float32).expand(6, 2, 3)

    true = place(angle, 0.8, 0.05)
    moving, _ = warped(fixed, true, 64, 0)
    found = align(moving[:, 0], fixed[:, 0], place(angle + 6, 0.85, 0.1))
    structure, closeness = compare(moving, fixed, found)
    assert (structure > 0.97).float().mean() >= 5 / 6
    assert structure.median() > 0.99
    assert (closeness > 0).float().mean() >= 5 / 6
    assert (found - true).abs().flatten(1).max(1).values.median() < 0.02


def test_pictures_that_hardly_overlap_are_not_alike() -> None:
    fixed = _pictures(2)
    beside = torch.tensor([[1.0, 0, 1.5], [0, 1, 0]]).expand(2, 2, 3)
    structure, closeness = compare(fixed, fixed, beside)
    assert structure.tolist() == [-1, -1]
    assert closeness.tolist() == [-10, -10]
