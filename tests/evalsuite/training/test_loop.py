"""The loop is what a plain torch loop of the same recipe is: schedule, loss, class weights, moving average."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from training_helpers import pool, recipe

from evalsuite.training import loop
from evalsuite.training.data.pool import Pool
from evalsuite.training.data.stream import schedule
from evalsuite.training.distributed import World
from evalsuite.training.recipe import Recipe

ALONE = World(0, 1, torch.device("cpu"))
AS_IS = loop.Stage(lambda x: x, lambda x: x)
UNEVEN = np.array([0, 3, 1, 4, 7, 10, 13, 16, 19, 22, 2, 5])  # of classes a, b, c: 2, 8, 2


def uneven() -> Pool:
    return pool(24, width=16).take(UNEVEN)


def head() -> nn.Linear:
    torch.manual_seed(7)
    return nn.Linear(16, 3)


def by_hand(r: Recipe, train: Pool) -> tuple[list[Tensor], list[Tensor]]:
    """Weights after all steps, and their moving average, by torch's own optimiser, schedule and loss."""
    model, plan = head(), schedule(r, train)
    optimiser = torch.optim.SGD(
        [{"params": [model.weight], "weight_decay": r.weight_decay}, {"params": [model.bias], "weight_decay": 0.0}],
        lr=r.lr,
        momentum=0.9,
        nesterov=True,
    )
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, r.steps - 1)
    counts = np.bincount(train.labels)
    weights = torch.tensor(len(train.labels) / (3 * counts), dtype=torch.float32) if r.class_weights else None
    loss = nn.CrossEntropyLoss(weights, label_smoothing=r.label_smoothing)
    average = [p.detach().clone() for p in model.parameters()]
    for step in range(r.steps):
        rows = torch.from_numpy(plan.rows(step))
        optimiser.zero_grad()
        loss(model(train.x[rows]), torch.from_numpy(train.labels)[rows]).backward()
        if step > 1:  # the first step is the whole warm-up
            cosine.step()
        optimiser.step()
        keep = min(r.ema, (2 + step) / (11 + step))
        average = [keep * a + (1 - keep) * p.detach() for a, p in zip(average, model.parameters(), strict=True)]
    return [p.detach() for p in model.parameters()], average


@pytest.mark.parametrize(
    "changes",
    [{}, {"label_smoothing": 0.0}, {"class_weights": True}, {"ema": 0.9}, {"ema": 0.9, "class_weights": True}],
)
def test_a_run_is_torchs_own_loop(changes: dict[str, object]) -> None:
    """An option that is taken and not used would be believed: each changes the weights, to what torch makes of it."""
    r = recipe(tuning="features", steps=12, evaluate_every=12, batch=6, optimizer="sgd", lr=0.05, warmup=0.0, **changes)
    model, train = head(), uneven()
    loop.fit(r, model, AS_IS, train, pool(12, width=16, seed=2), ALONE)
    last, average = by_hand(r, train)
    expected = average if r.ema else last
    assert all(torch.allclose(p, e, atol=1e-5) for p, e in zip(model.parameters(), expected, strict=True))
    plain, _ = by_hand(recipe(**{**r.model_dump(), "ema": 0.0, "class_weights": False, "label_smoothing": 0.1}), train)
    assert all(torch.allclose(p, e, atol=1e-5) for p, e in zip(model.parameters(), plain, strict=True)) == (not changes)


def test_class_weights_are_scikit_learns_balanced_ones() -> None:
    """Rare classes weigh more, by inverse frequency; a class without images weighs nothing."""
    train = uneven()
    expected = compute_class_weight("balanced", classes=np.arange(3), y=train.labels)
    assert loop.class_weights(train).numpy() == pytest.approx(expected, rel=1e-6)
    assert loop.class_weights(train.take(np.arange(10))).tolist() == pytest.approx([2.5, 0.625, 0.0])


def test_the_learning_rate_rises_then_falls_as_a_cosine() -> None:
    """Linear to the full rate over the warm-up, half of it half way down, next to nothing at the end."""
    r = recipe(steps=100, lr=0.4, warmup=0.2)
    rates = [r.learning_rate(step) for step in range(100)]
    assert np.diff(rates[:20]) == pytest.approx(0.02)
    assert max(rates) == rates[19] == rates[20] == 0.4
    assert rates[60] == pytest.approx(0.2)
    assert np.all(np.diff(rates[20:]) < 0)
    assert 0 < rates[-1] < 0.001
