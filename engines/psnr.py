"""How alike two pictures are."""

from __future__ import annotations

import numpy as np

IDENTICAL_DB = 99.0


def psnr(got: np.ndarray, expected: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 arrays of one shape in dB; at most 99, which identical arrays have."""
    error = float(np.mean((got.astype(np.float64) - expected.astype(np.float64)) ** 2))
    return IDENTICAL_DB if error == 0 else min(IDENTICAL_DB, 10 * float(np.log10(255.0**2 / error)))
