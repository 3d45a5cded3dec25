"""Small shards of noise, so that no test waits for drawings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from shards import Sample, Sidecar, encode_image, write_shard

CLASSES = ["macule", "nodule"]
GROUPS = ["light", "dark"]


def noise(seed: int, size: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def items(
    n: int, prefix: str = "s", fmt: str = "png", size: int = 12, **facts: object
) -> list[tuple[Sample, bytes, str]]:
    """Samples over two classes and two groups, in turn."""
    return [
        (
            Sample.model_validate(
                {
                    "id": f"{prefix}-{i:04d}",
                    "origin": "phantom",
                    "class": CLASSES[i % 2],
                    "group": GROUPS[i // 2 % 2],
                    **facts,
                }
            ),
            encode_image(noise(i, size), fmt),
            fmt,
        )
        for i in range(n)
    ]


def picture(seed: int, size: int = 64) -> np.ndarray:
    """A smooth picture, as a photograph is."""
    small = Image.fromarray(noise(seed, 8))
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))


def write(folder: Path, n: int = 3, **more: object) -> Sidecar:
    return write_shard(folder, "set", 0, items(n), classes=CLASSES, **more)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
