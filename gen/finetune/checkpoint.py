"""The state of a run in one safetensors file: trained weights, their average, the optimiser's moments, the step.

No random state: a step's draws follow from the seed and the step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dermforge.common import tensor_files
from dermforge.common.errors import UserError
from gen.builtin.checkpoint import Average


@dataclass
class State:
    """What training changes. scaler: the loss scale of fp16."""

    weights: nn.ParameterList
    average: Average | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None = None


def save(path: Path, step: int, state: State, identity: Mapping[str, Any]) -> None:
    """Write the state after `step` steps, whole or not at all."""
    tensors = {f"weights/{k}": v for k, v in state.weights.state_dict().items()}
    if state.average:
        tensors |= {f"average/{k}": v for k, v in state.average.values.items()}
    for number, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{k}": torch.as_tensor(v) for k, v in moments.items()}
    tensor_files.write(
        path,
        tensors,
        {
            "step": step,
            "identity": identity,
            "average_steps": state.average.steps if state.average else 0,
            "scaler": state.scaler.state_dict() if state.scaler else None,
        },
    )


def load(path: Path, state: State, identity: Mapping[str, Any]) -> int:
    """Restore a state in place; returns the step it was taken after, 0 where there is no checkpoint.

    Raises
    ------
    UserError
        The checkpoint is damaged, or of another run: says in what they differ.
    """
    if not path.exists():
        return 0
    record = tensor_files.record(path)
    if record is None:
        raise UserError(f"{path} is damaged; give --fresh to start the run anew")
    wanted = json.loads(json.dumps(identity))
    if differ := sorted(k for k in wanted | record["identity"] if wanted.get(k) != record["identity"].get(k)):
        changes = ", ".join(f"{k} ({record['identity'].get(k)} then, {wanted.get(k)} now)" for k in differ)
        raise UserError(f"{path} is of another run: {changes}; give --fresh to start anew, or another --out")
    tensors = load_file(path)
    state.weights.load_state_dict(_under(tensors, "weights/"))
    if state.average:
        device = state.weights[0].device
        state.average.values = {k: v.to(device) for k, v in _under(tensors, "average/").items()}
        state.average.steps = int(record["average_steps"])
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _under(tensors, "optimizer/").items():
        number, name = key.split("/")
        moments.setdefault(int(number), {})[name] = value
    state.optimizer.load_state_dict(state.optimizer.state_dict() | {"state": moments})
    if state.scaler and record["scaler"]:
        state.scaler.load_state_dict(record["scaler"])
    return int(record["step"])


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
