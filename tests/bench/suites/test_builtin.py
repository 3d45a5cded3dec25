"""The yardsticks of the built-in pipeline must themselves be right."""

from __future__ import annotations

import torch

from bench.suites.builtin import Bar, GeneratedSet, generate
from engines.engine import Engine
from gen.builtin.classifier import predict, train_classifier
from gen.builtin.data import CELLS, phantoms


def test_a_bar_is_met_only_inside_its_bounds() -> None:
    assert Bar("x", 0.6, 0.55, 0.8).passed
    assert not Bar("x", 0.9, 0.55, 0.8).passed
    assert not Bar("x", float("nan"), 0.55).passed
    wanted = (Bar("x", 1, low=2).wanted, Bar("x", 1, high=2).wanted, Bar("x", 1).wanted)
    assert wanted == ("at least 2", "at most 2", "")


def test_every_cell_is_generated_with_its_label_and_tone(engine: Engine) -> None:
    ticks: list[int] = []
    made = generate(engine, GeneratedSet(per_cell=2, steps=1, guidance=1.0, seed=0), ticks.append)
    assert made.images.shape == (2 * len(CELLS), 64, 64, 3)
    assert made.cells.tolist() == [i for i in range(len(CELLS)) for _ in range(2)]
    assert made.ita[0] == made.ita[1]
    assert sum(ticks) == len(made.images)


def test_a_judge_learns_and_predicts_in_class_order() -> None:
    data = phantoms(12, 30_000)
    net = train_classifier(data, 72, 150)
    predicted = predict(net, data.images)
    assert predicted.shape == data.labels.shape
    assert (predicted == data.labels).mean() > 0.3  # chance is 1 in 6
    assert torch.is_grad_enabled()
