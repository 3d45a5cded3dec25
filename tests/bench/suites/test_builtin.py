"""The yardsticks of the built-in pipeline must themselves be right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.suites.builtin import Bar, psnr
from gen.builtin.classifier import predict, train_classifier
from gen.builtin.data import phantoms


def test_a_bar_is_met_only_inside_its_bounds() -> None:
    assert Bar("x", 0.6, 0.55, 0.8).passed
    assert not Bar("x", 0.9, 0.55, 0.8).passed
    assert not Bar("x", float("nan"), 0.55).passed
    wanted = (Bar("x", 1, low=2).wanted, Bar("x", 1, high=2).wanted, Bar("x", 1).wanted)
    assert wanted == ("at least 2", "at most 2", "")


def test_psnr_is_that_of_a_known_error() -> None:
    """An error of one tenth of the range everywhere is 20 dB."""
    truth = np.full((2, 8, 8, 3), 100, np.uint8)
    assert psnr(truth + np.uint8(25), truth) == pytest.approx(-20 * np.log10(25 / 255))


def test_a_judge_learns_and_predicts_in_class_order() -> None:
    data = phantoms(12, 30_000)
    net = train_classifier(data, 72, 150)
    predicted = predict(net, data.images)
    assert predicted.shape == data.labels.shape
    assert (predicted == data.labels).mean() > 0.3  # chance is 1 in 6
    assert torch.is_grad_enabled()
