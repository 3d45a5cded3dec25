"""A step of all slots: it changes nothing where nothing is to be done, and reads nothing back."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engines import Engine
from gen.diffusion.batch_state import BatchState


def test_a_call_of_nothing_changes_nothing(open_engine: Callable[..., Engine]) -> None:
    """What recording does before the first image: it must leave no trace in any slot."""
    slots = BatchState(open_engine())
    for tensor in (slots.state.x, slots.state.base, slots.state.d1, slots.state.d2):
        tensor.normal_()
    before = [t.clone() for t in (slots.state.x, slots.state.base, slots.state.d1, slots.state.d2)]
    slots.runs[0](*map(slots.upload, slots.idle()))
    after = (slots.state.x, slots.state.base, slots.state.d1, slots.state.d2)
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert not slots.outputs[:-1].any()


class OnTheHost(TorchDispatchMode):
    """Notes what is computed of the CPU's tensors: in a recording it would be computed once, and never again."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        if any(t.device.type == "cpu" for t in tensors):
            self.operations.add(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("channels", [4, 9])
def test_a_step_reads_nothing_back(channels: int) -> None:
    """It runs on tensors that have no data: a value that decided anything would be an error, as it is in recording."""
    spec = SimpleNamespace(latent_channels=4, latent_size=8, unet_in_channels=channels, conditioning={"text": (16, 16)})
    calls = SimpleNamespace(recordable=None, denoise=lambda x, times, words: x.new_empty(6, 4, 8, 8))
    engine: Any = SimpleNamespace(spec=spec, device=torch.device("meta"), rows=6, calls=calls, base=None)
    slots = BatchState(engine)
    idle = [slots.upload(array) for array in slots.idle()]
    with OnTheHost() as host:
        out = slots.runs[0](*idle)
    assert host.operations == set()
    assert out.device.type == "meta"
    assert out is slots.state.x
    with pytest.raises(RuntimeError, match="meta"):
        out.sum().item()
