"""What a backend supplies: calls of exactly one static batch, and how any number of rows goes through one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from engines.conditioning import Conditioning
from engines.memory import give_back

TEXT_BATCH = 8  # prompts of one call
Call = Callable[..., torch.Tensor]
#: Token ids of one tokenizer -> the outputs of its text encoder by name.
Encoder = Callable[[torch.Tensor], Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class Calls:
    """What a backend supplies: four functions of exactly one static batch, which may return a reused buffer."""

    text: Callable[[torch.Tensor], Conditioning]  # token ids, int64 [TEXT_BATCH, max_length] -> what prompts give
    denoise: Call  # latents, timesteps, each tensor of the conditioning in its order; `rows` rows, float32 -> float32
    decode: Call  # [vae_batch, latent_channels, h, w] -> uint8 [vae_batch, size, size, 3]
    encode: Call  # uint8 [vae_batch, size, size, 3] -> [vae_batch, latent_channels, h, w]
    device: torch.device
    threads: int | None = None  # on a CPU, where another number sums in another order
    recordable: Call | None = None  # `denoise` as kernels launched on the current stream, for a larger CUDA graph
    opened: tuple[Lazy, ...] = ()  # what opens a network when it is first used
    encoders: Mapping[str, Encoder] = field(default_factory=dict)  # of which `text` is made, by part

    @property
    def texts(self) -> tuple[Lazy, ...]:
        """The text encoders that are opened when they are first used."""
        return tuple(one for one in self.encoders.values() if isinstance(one, Lazy))


class Lazy:
    """A call whose network is opened when it is first made: most jobs never encode an image.

    Attributes
    ----------
    others
        Calls that are closed before this one opens its network, where memory does not hold them together.
    """

    def __init__(self, open_call: Callable[[], Callable[..., Any]]) -> None:
        self._open, self.others = open_call, list[Lazy]()
        self._opened: Callable[..., Any] | None = None

    def __call__(self, *arrays: torch.Tensor) -> Any:
        if self._opened is None:
            for other in [o for o in self.others if o.is_open]:
                other.close()
            self._opened = self._open()
        return self._opened(*arrays)

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    def close(self) -> None:
        """Free the network; the next call opens it again."""
        self._opened = None
        give_back()


def in_batches(call: Call, size: int, *arrays: torch.Tensor) -> torch.Tensor:
    """Run a static-batch call over any number of rows: cut, fill the last batch, join.

    A call may return its own fixed buffer, so rows are copied out before the next batch runs.
    """
    n = len(arrays[0])
    if n == size:
        return call(*arrays).clone()
    out: torch.Tensor | None = None
    for start in range(0, n, size):
        cut = [a[start : start + size] for a in arrays]
        filled = len(cut[0])
        if filled < size:
            cut = [torch.cat([a, a[-1:].expand(size - filled, *a.shape[1:])]) for a in cut]
        part = call(*cut)
        if out is None:
            out = part.new_empty((n, *part.shape[1:]))
        out[start : start + filled] = part[:filled]
    if out is None:
        return call(*[a.new_zeros((size, *a.shape[1:])) for a in arrays])[:0].clone()
    return out
