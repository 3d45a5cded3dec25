"""Training state as safetensors and JSON: weights, averaged weights, optimiser moments, step, random state."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class Average:
    """An exponential moving average of a module's parameters that starts fast (as Karras 2022 warm up theirs)."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the module's present values."""
        self.steps += 1
        weight = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, value in module.state_dict().items():
            if value.dtype.is_floating_point:
                self.values[key].lerp_(value, weight)
            else:
                self.values[key].copy_(value)


def save(path: Path, step: int, module: nn.Module, average: Average, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint whole or not at all."""
    tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
    tensors |= {f"weights/{k}": v for k, v in module.state_dict().items()}
    tensors |= {f"average/{k}": v for k, v in average.values.items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{k}": torch.as_tensor(v) for k, v in state.items()}
    temporary = path.with_suffix(f".tmp-{os.getpid()}")
    save_file(
        {k: v.detach().clone().contiguous() for k, v in tensors.items()},
        temporary,
        metadata={"state": json.dumps({"step": step, "average_steps": average.steps})},
    )
    os.replace(temporary, path)


def load(path: Path, module: nn.Module, average: Average, optimizer: torch.optim.Optimizer) -> int:
    """Restore a checkpoint in place; returns the step it was taken after."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        meta = json.loads(file.metadata()["state"])
    tensors = load_file(path)
    module.load_state_dict(_under(tensors, "weights/"))
    average.values, average.steps = _under(tensors, "average/"), int(meta["average_steps"])
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _under(tensors, "optimizer/").items():
        number, name = key.split("/")
        moments.setdefault(int(number), {})[name] = value
    state = optimizer.state_dict()
    state["state"] = moments
    optimizer.load_state_dict(state)
    torch.set_rng_state(tensors["rng"])
    return int(meta["step"])


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
