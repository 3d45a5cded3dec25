"""Counter-based noise: a pure function of (plan seed, row id, step), whatever the batch, worker or order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

#: The step of the noise that an image starts from; a solver that injects noise uses its step, 0, 1, ...
START = -1


def bits(seed: int, row: str, step: int, n: int) -> NDArray[np.uint64]:
    """`n` raw 64-bit words of Philox4x64-10 (Salmon et al. 2011), keyed by (seed, row) and counted by step.

    Only the bit generator is used: numpy keeps its stream stable for ever, which it does not promise of
    `standard_normal`.
    """
    digest = hashlib.sha256(f"{seed}/{row}".encode()).digest()
    key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
    # The lowest word counts the blocks of four within a step; the second one is the step.
    counter = np.array([0, step - START, 0, 0], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(n)


def uniform(seed: int, row: str, step: int, n: int) -> NDArray[np.float64]:
    """`n` numbers in the open interval (0, 1)."""
    u = ((bits(seed, row, step, n) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.minimum(u, 1 - 2.0**-53)  # the largest draw is rounded up to 1


def normal(seed: int, row: str, step: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """Standard normal noise of one image at one step, by inverting the distribution function.

    Parameters
    ----------
    seed
        The plan's seed, any integer.
    row
        The id of the plan's row.
    step
        `START` for the noise that denoising starts from, else the index of the solver's step.
    shape
        Shape of one latent, [C, h, w].
    """
    return ndtri(uniform(seed, row, step, int(np.prod(shape)))).astype(np.float32).reshape(tuple(shape))
