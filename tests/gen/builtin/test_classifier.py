"""The classifier's distance sees lesions."""

from __future__ import annotations

from gen.builtin.classifier import perceptual_distance, train_classifier
from gen.builtin.data import phantoms, to_tensor


def test_the_perceptual_distance_sees_a_lesion_that_pixels_hardly_do() -> None:
    """Nothing for equal images; more for a lesion gone than for as large a change of brightness."""
    net = train_classifier(phantoms(4, 50_000), 24, 60)
    x = to_tensor(phantoms(1, 60_000).images)
    flat = x.mean((2, 3), keepdim=True).expand_as(x)
    brighter = x + (flat - x).abs().mean()
    assert perceptual_distance(net, x, x).item() == 0
    assert perceptual_distance(net, x, flat) > 2 * perceptual_distance(net, x, brighter)
