"""What a stopped training run resumes from, and the moving average of its weights; safetensors, no pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dermforge.common import tensor_files
from dermforge.common.errors import UserError


@dataclass(frozen=True)
class Checkpoint:
    """One file with all that training changes, replaced as a whole by every `save`.

    Attributes
    ----------
    identity
        JSON values that decide the run; it resumes only where they are the same.
    modules
        Modules by name: the trained weights and, where there is one, their average.
    usual
        Values that an identity leaves out; see `changes_between`.
    """

    path: Path
    identity: Mapping[str, Any]
    modules: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer
    usual: Mapping[str, Any] = field(default_factory=dict)

    def save(self, record: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> None:
        """Write the state, a JSON record of the progress, and further tensors of the caller's."""
        whole = {f"extra/{k}": v for k, v in (tensors or {}).items()}
        for name, module in self.modules.items():
            whole |= {f"{name}/{k}": v for k, v in module.state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            whole |= {f"optimizer/{number}/{k}": torch.as_tensor(v) for k, v in moments.items()}
        tensor_files.write(self.path, whole, {"identity": self.identity, "progress": record})

    def load(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Restore the state in place; returns the record and the further tensors, or None where there is no file.

        Raises
        ------
        UserError
            The file is damaged, or of a run with another identity: says in what they differ.
        """
        if not self.path.is_file():
            return None
        saved, tensors = tensor_files.read(self.path, "delete it to start the run again")
        if changes := changes_between(saved["identity"], self.identity, self.usual):
            raise UserError(f"{self.path} is of another run: {changes}; use another folder, or delete the file")
        for name, module in self.modules.items():
            module.load_state_dict(_part(tensors, f"{name}/"))
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, "optimizer/").items():
            number, name = key.split("/")
            moments.setdefault(int(number), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        return saved["progress"], _part(tensors, "extra/")


def changes_between(
    then: Mapping[str, Any], identity: Mapping[str, Any], usual: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """What differs between the identity read from a file and a run's own; empty where nothing does.

    Parameters
    ----------
    usual
        What an identity that leaves a value out means by that.
    """
    then, now = {**usual, **then}, {**usual, **json.loads(json.dumps(identity))}
    differ = sorted(k for k in {*now, *then} if now.get(k) != then.get(k))
    return ", ".join(f"{k} ({then.get(k)} then, {now.get(k)} now)" for k in differ)


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of weights and buffers; its decay rises to `decay`, as TensorFlow's.

    The weights at the start count as the first average, so that the average exists from the first step on.
    """

    def update(averages: Any, values: Any, _: Any) -> None:
        if averages[0].is_floating_point():
            n = int(average.n_averaged)  # on the CPU: reading it waits for no GPU
            get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averages, values, n)
        else:
            torch._foreach_copy_(averages, values)

    average = AveragedModel(module, multi_avg_fn=update, use_buffers=True)
    average.n_averaged += 1
    return average


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
