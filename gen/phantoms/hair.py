"""Body hair: thin curved strands, drawn large and shrunk so that they are antialiased."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


def strands(rng: np.random.Generator, size: int, number: int) -> NDArray[np.floating]:
    """How much of each pixel is hair, 0 to 1, [size, size]."""
    scale = 4 if size <= 128 else 2
    canvas = Image.new("L", (size * scale, size * scale))
    pen = ImageDraw.Draw(canvas)
    lean = rng.uniform(0, np.pi)
    for _ in range(number):
        middle, length = rng.uniform(-0.1, 1.1, 2), rng.uniform(0.15, 0.45)
        way = lean + rng.normal(0, 0.35)
        step = length / 2 * np.array([np.cos(way), np.sin(way)])
        bend = rng.normal(0, 0.12) * length * np.array([-np.sin(way), np.cos(way)])
        t = np.linspace(-1, 1, 16)[:, None]
        points = (middle + t * step + (1 - t**2) * bend) * size * scale
        width = max(1, round(rng.uniform(0.004, 0.010) * size * scale))
        pen.line([(float(px), float(py)) for px, py in points], fill=255, width=width)
    shrunk = canvas.resize((size, size), Image.Resampling.BOX)
    return np.asarray(shrunk, dtype=np.float32) / 255
