"""Phantoms to be read, and a reader's answer."""

from __future__ import annotations

from typing import Any

from evalsuite.images.image_data import ArrayImages
from gen.phantoms import draw
from shards.format.schema import Sample


def images(word: str, n: int, start: int) -> ArrayImages:
    cells = [(c, g) for c in ("macule", "ulcer") for g in ("light", "dark")]
    samples, arrays = [], []
    for i in range(n):
        cls, group = cells[i % 4]
        samples.append(Sample(id=f"{word}-{i}", origin="real", label=cls, group=group))
        arrays.append(draw(cls, group, start + i).image)
    return ArrayImages(samples, arrays)


def answer(study: Any, item: str, reader: str = "ann", **changes: object) -> dict[str, Any]:
    return {
        "reader": reader,
        "item": item,
        "realism": study.realism[2],
        "diagnosis": study.diagnoses[0],
        "group": study.groups[0],
        "seconds": 1.5,
    } | changes
