"""Files with one bit changed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    """Change a bit of a file; it has its old bytes again afterwards."""
    content = path.read_bytes()
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    path.write_bytes(changed)
    try:
        yield
    finally:
        path.write_bytes(content)


def some_bits(path: Path, count: int) -> list[int]:
    """Bits anywhere in a file, the same ones for the same size."""
    bits = 8 * path.stat().st_size
    return random.Random(bits).sample(range(bits), min(count, bits))
