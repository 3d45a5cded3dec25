"""The yardsticks of the built-in pipeline must themselves be right."""

from __future__ import annotations

import numpy as np
import torch

from bench.builtin import Bar, copies
from bench.judge import predict, train_judge
from gen.builtin.data import phantoms


def test_a_bar_is_met_only_inside_its_bounds() -> None:
    assert Bar("x", 0.6, 0.55, 0.8).passed
    assert not Bar("x", 0.9, 0.55, 0.8).passed
    assert not Bar("x", float("nan"), 0.55).passed
    wanted = (Bar("x", 1, low=2).wanted, Bar("x", 1, high=2).wanted, Bar("x", 1).wanted)
    assert wanted == ("at least 2", "at most 2", "")


def test_planted_copies_are_counted_and_fresh_phantoms_are_not() -> None:
    """Exact, mirrored and slightly noisy copies of training images; other draws of the same cells."""
    train, fresh = phantoms(6, 0).images, phantoms(4, 10_000).images
    rng = np.random.default_rng(0)
    noisy = np.clip(train[40:60] + rng.normal(0, 3, train[40:60].shape), 0, 255).astype(np.uint8)
    planted = np.concatenate([train[:20], train[20:40, :, ::-1], noisy])
    assert copies(planted, train, fresh) == 60
    assert copies(phantoms(2, 20_000).images, train, fresh) <= 1


def test_a_judge_learns_and_predicts_in_class_order() -> None:
    data = phantoms(12, 30_000)
    net = train_judge(data, 72, 150)
    predicted = predict(net, data.images)
    assert predicted.shape == data.labels.shape
    assert (predicted == data.labels).mean() > 0.3  # chance is 1 in 6
    assert torch.is_grad_enabled()
