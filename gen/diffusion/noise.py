"""Counter-based noise: a pure function of (seed, key, step) that does not depend on batch, worker or order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

#: The step of the noise that an image starts from; the noise that a solver injects has the solver's step: 0, 1, ...
START = -1


def bits(seed: int, key: str, step: int, n: int) -> NDArray[np.uint64]:
    """`n` raw 64-bit words of Philox4x64-10 (Salmon et al. 2011), keyed by (seed, key) and counted by step.

    Only the bit generator is used: numpy promises a stable stream for it, and not for `standard_normal`.
    """
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    philox_key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
    # The lowest word counts the blocks of four within a step; the second one is the step.
    counter = np.array([0, step - START, 0, 0], dtype=np.uint64)
    return np.random.Philox(key=philox_key, counter=counter).random_raw(n)


def uniform(seed: int, key: str, step: int, n: int) -> NDArray[np.float64]:
    """`n` numbers in the open interval (0, 1)."""
    u = ((bits(seed, key, step, n) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.minimum(u, 1 - 2.0**-53)  # rounding takes the largest draw up to 1


def normal(seed: int, key: str, step: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """Standard normal noise of one image at one step, by inverting the distribution function.

    Parameters
    ----------
    seed
        Any integer; of a plan row, its seed.
    key
        What the noise is for; of a plan row, its id.
    step
        `START` for the noise that denoising starts from, otherwise the index of the solver's step.
    shape
        Shape of one latent, [C, h, w].
    """
    return np.asarray(ndtri(uniform(seed, key, step, int(np.prod(shape)))).astype(np.float32).reshape(tuple(shape)))
