"""`bench train`: every contestant does the work that its rate counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bench.cli import PROGRAM
from bench.measure.record import load
from bench.suites import train
from evalsuite.training import model
from evalsuite.training.recipe import make_recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize("who", ["bare", "ours", "timm"])
def test_every_contestant_takes_all_its_steps(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many optimiser steps, of the same batch, by each: else the faster one might only have done less."""
    steps, rows = 0, []
    recipe = make_recipe(model="test_resnet", size=32, batch=48, steps=13, evaluate_every=13)
    network = model.build(recipe, len(train.CLASSES))
    images = train.random_images(512, 32)  # ten whole batches: the DataLoader has to begin again

    class Counted(torch.optim.SGD):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            nonlocal steps
            steps += 1
            super().step()

    monkeypatch.setattr("evalsuite.training.loop.make_optimiser", lambda recipe, net: Counted(net.parameters(), lr=0.0))
    network.register_forward_pre_hook(lambda net, given: rows.append(len(given[0])) if net.training else None)
    run = {
        "bare": lambda: train.bare(network, recipe, CPU),
        "ours": lambda: train.ours(network, recipe, images, CPU),
        "timm": lambda: train.with_timm(network, recipe, images, CPU),
    }[who]()
    run()
    assert steps == 13
    assert set(rows) == {48}


def test_the_command_leaves_a_record_with_every_rate(tmp_path: Path) -> None:
    """Warmed up and repeated, peers beside ours, where it ran: as every other benchmark."""
    options = [
        "--model",
        "test_resnet",
        "--size",
        "32",
        "--batch",
        "16",
        "--steps",
        "2",
        "--repeats",
        "2",
        "--threads",
        "1",
        "--out",
        str(tmp_path),
    ]
    assert CliRunner().invoke(PROGRAM.app(), ["train", *options], catch_exceptions=False).exit_code == 0
    record = load(tmp_path / "train.json")
    assert [m.name for m in record.measurements] == [
        "train/test_resnet/bare",
        "train/test_resnet/ours",
        "train/test_resnet/timm",
        "share/test_resnet",
    ]
    bare, ours, _, share = (m.samples for m in record.measurements)
    assert share == pytest.approx([o / b for o, b in zip(ours, bare, strict=True)])
    assert record.facts.threads == 1
