"""Augmentation is a function of its seed."""

from __future__ import annotations

import torch
from training_helpers import images

from evalsuite.training.preprocessing import augment


def test_augmentation_keeps_shape_range_and_seed() -> None:
    """A step is a function of its number: the same seed must give the same pixels."""
    pixels = next(images(10).batches(10))
    for kind in ("none", "light", "randaugment"):
        torch.manual_seed(3)
        first = augment(pixels, kind)  # type: ignore[arg-type]
        torch.manual_seed(3)
        assert torch.equal(first, augment(pixels, kind))  # type: ignore[arg-type]
        assert first.shape == pixels.shape
        assert first.dtype == torch.float32
        assert 0 <= first.min() <= first.max() <= 1
    assert not torch.equal(first, pixels.float() / 255)
