"""The loop is what a plain torch loop of the same recipe is: schedule, loss, class weights, moving average."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from training_helpers import ALONE, classifier, images, recipe

from dermforge.common.errors import CheckFailed, UserError
from evalsuite.training import loop
from evalsuite.training.data.schedule import TrainingSet, schedule
from evalsuite.training.distributed import World
from evalsuite.training.preprocessing import OF_FEATURES
from evalsuite.training.recipe import Recipe

UNEVEN = np.array([0, 3, 1, 4, 7, 10, 13, 16, 19, 22, 2, 5])  # of classes a, b, c: 2, 8, 2


def uneven() -> TrainingSet:
    return TrainingSet(images(24, width=16).take(UNEVEN))


def head() -> nn.Linear:
    torch.manual_seed(7)
    return nn.Linear(16, 3)


def by_hand(r: Recipe, train: TrainingSet) -> tuple[list[Tensor], list[Tensor]]:
    """Weights after all steps, and their moving average, by torch's own optimiser, schedule and loss."""
    model = head()
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
    for step, (batch, _) in enumerate(schedule(r, train, ALONE).batches()):
        optimiser.zero_grad()
        loss(model(batch.images), batch.labels).backward()
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
    loop.fit(loop.Classifier(r, model, OF_FEATURES, ALONE), train, images(12, width=16, seed=2))
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
    assert train.real is not None
    few = TrainingSet(train.real.take(np.arange(10)))
    assert loop.class_weights(few).tolist() == pytest.approx([2.5, 0.625, 0.0])


def test_early_stopping_stops() -> None:
    """Patience counts evaluations without improvement: a learning rate that wrecks the model ends the run early."""
    r = recipe(patience=1, steps=40, evaluate_every=1, optimizer="sgd", lr=1.0, warmup=0.0)
    made = loop.fit(classifier(r), TrainingSet(images()), images(12, seed=2))
    assert made.step < 40


def test_a_training_that_diverges_fails_and_says_so() -> None:
    """Else its predictions would be NaN, read as the first class."""
    r = recipe(steps=40, evaluate_every=10, optimizer="sgd", lr=1e3, warmup=0.0)
    with pytest.raises(CheckFailed, match="NaN or infinity for 12 of 12 images: its training diverged"):
        loop.fit(classifier(r), TrainingSet(images()), images(12, seed=2))


def test_one_image_at_a_time_is_refused_where_a_batch_norm_sees_one_value() -> None:
    few = recipe(model="efficientnet_lite0", batch=1)
    with pytest.raises(UserError, match=r"cannot be trained on 1 image at a time and at 32 px.*larger batch"):
        loop.fit(classifier(few), TrainingSet(images()), images(12, seed=2))


def test_head_only_changes_the_classifier_and_the_batch_norms() -> None:
    """As the paper trains: the body's convolutions stay as they were."""
    made = classifier(recipe(tuning="head"))
    before = {k: v.clone() for k, v in made.model.state_dict().items()}
    loop.fit(made, TrainingSet(images()), images(12, seed=2))
    changed = {k for k, v in made.model.state_dict().items() if not torch.equal(v, before[k])}
    assert any(k.startswith("classifier") for k in changed)
    assert all("bn" in k or k.startswith("classifier") for k in changed)


def test_split_batch_norm_over_processes_needs_both_kinds_everywhere() -> None:
    """A process whose share holds no real image would leave the others waiting for ever."""
    both = TrainingSet(images(24), images(90, synthetic=True, name="s"))
    second = World(1, 2, torch.device("cpu"))
    split = recipe(ratio=10, batch=8, split_bn=True)
    plan = schedule(split, both, second)
    assert plan.fewest() == 0
    with pytest.raises(UserError, match=r"`split_bn` with 2 processes.*as few as 0"):
        loop._require_both_kinds(split, plan, second)
    loop._require_both_kinds(split, plan, ALONE)
    even = recipe(ratio=1, batch=8, split_bn=True)
    loop._require_both_kinds(even, schedule(even, both, second), second)
    assert {int(synthetic.sum()) for _, synthetic in schedule(even, both, second).batches()} == {2}
