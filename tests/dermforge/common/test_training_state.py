"""A stopped and resumed run ends in the bits of one that was never stopped; another run's file is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dermforge.common.errors import UserError
from dermforge.common.training_state import Checkpoint, changes_between, moving_average

OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, 1e-2),
    "sgd": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9, nesterov=True),
}


class Run:
    """A small network with batch norm, its moving average and an optimiser."""

    def __init__(self, path: Path, optimizer: str, **identity: object) -> None:
        torch.manual_seed(0)
        self.net: Any = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
        self.average: Any = moving_average(self.net, 0.9)
        self.optimizer = OPTIMIZERS[optimizer](self.net.parameters())
        modules = {"weights": self.net, "average": self.average}
        self.checkpoint = Checkpoint(path, identity, modules, self.optimizer)

    def steps(self, start: int, stop: int) -> Run:
        for step in range(start, stop):
            x = torch.randn(6, 4, generator=torch.Generator().manual_seed(step))
            self.optimizer.zero_grad()
            self.net(x).square().mean().backward()
            self.optimizer.step()
            self.average.update_parameters(self.net)
        return self

    def state(self) -> dict[str, torch.Tensor]:
        return self.net.state_dict() | {f"average/{k}": v for k, v in self.average.state_dict().items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_is_the_unstopped_one_to_the_bit(tmp_path: Path, optimizer: str) -> None:
    """Weights, buffers, moments, the average and how often it was updated, the record and the caller's own tensors."""
    path = tmp_path / "state.safetensors"
    stopped = Run(path, optimizer).steps(0, 5)
    stopped.checkpoint.save({"step": 5}, {"rng": torch.arange(3)})
    resumed = Run(path, optimizer)
    loaded = resumed.checkpoint.load()
    assert loaded is not None
    record, tensors = loaded
    assert record == {"step": 5}
    assert tensors["rng"].tolist() == [0, 1, 2]
    whole, got = Run(path, optimizer).steps(0, 12).state(), resumed.steps(5, 12).state()
    assert got.keys() == whole.keys()
    assert all(torch.equal(got[k], whole[k]) for k in whole)
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]


def test_the_average_starts_at_the_first_weights_and_slows_down() -> None:
    """decay_n = min(decay, (1 + n) / (10 + n)); counts of batches are copied."""
    run = Run(Path("none"), "adamw")
    expected = run.net[0].weight.detach().clone()
    for n in range(1, 100):
        run.steps(n, n + 1)
        decay = min(0.9, (1 + n) / (10 + n))
        expected.lerp_(run.net[0].weight.detach(), 1 - decay)
    assert torch.equal(run.average.module[0].weight, expected)
    assert run.average.module[1].num_batches_tracked == 99


def test_nothing_another_run_and_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    one = Run(path, "adamw", rate=0.1, images="a")
    assert one.checkpoint.load() is None
    one.steps(0, 1).checkpoint.save({})
    assert one.checkpoint.load() == ({}, {})
    with pytest.raises(UserError, match=r"another run: images \(a then, b now\), size \(None then, 3 now\); use"):
        Run(path, "adamw", rate=0.1, images="b", size=3).checkpoint.load()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="is damaged"):
        one.checkpoint.load()


def test_what_an_identity_leaves_out_has_its_usual_value() -> None:
    """In the file or in the run, and no word of what is equal."""
    usual = {"schedule": "constant", "steps": 6}
    falls: dict[str, object] = {"schedule": "cosine", "steps": 6}
    assert changes_between(falls, {}, usual) == "schedule (cosine then, constant now)"
    assert changes_between({}, falls, usual) == "schedule (constant then, cosine now)"
    assert changes_between(falls | {"steps": 8}, {}, usual).endswith("steps (8 then, 6 now)")
    assert changes_between({}, usual, usual) == changes_between({"a": [1]}, {"a": (1,)}) == ""
