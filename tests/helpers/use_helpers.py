"""A teacher's images, students with a planted fault, and real images: phantoms of three classes and three tones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dermforge.common.use_certificate import Cell, ImagesUsed, Row, UseCertificate
from gen.phantoms import draw
from shards import Mark, Provenance, Sample, ShardSetWriter, encode_image

CLASSES, GROUPS = ("annulus", "macule", "ulcer"), ("light", "tan", "dark")
#: The settings of `write_side`.
SETTINGS: dict[str, Any] = {
    "strategy": "text-to-image",
    "solver": "ddim",
    "steps": 4,
    "guidance": 3.0,
    "strength": 1.0,
    "size": 64,
}
BUNDLE = "b" * 64
#: Image of a class, a group and a number within the cell.
Draw = Callable[[str, str, int], np.ndarray]


def phantom(start: int) -> Draw:
    """The phantoms of a cell from this draw on."""
    return lambda label, group, i: draw(label, group, start + i).image


def collapsed(start: int) -> Draw:
    """The same image throughout a cell."""
    return lambda label, group, i: draw(label, group, start).image


def one_tone(start: int) -> Draw:
    """Every skin type comes out tan."""
    return lambda label, group, i: draw(label, "tan", start + i).image


def swapped(start: int) -> Draw:
    """Two classes change places."""
    other = {"annulus": "ulcer", "ulcer": "annulus"}
    return lambda label, group, i: draw(other.get(label, label), group, start + i).image


def write_side(
    folder: Path, image: Draw, per_cell: int = 8, bundle: str = BUNDLE, lineage: tuple[str, ...] = (), steps: int = 4
) -> Path:
    """Synthetic shards of every cell, marked by their bundle; ids are those of one plan."""
    source = Provenance(plan_digest="a" * 64, bundle_digest=bundle, model_digest="c" * 64, lineage=lineage)
    mark = Mark("trainedAlgorithmicMedia", digest=bundle)
    with ShardSetWriter(folder, "s", classes=CLASSES, provenance=source) as writer:
        for i in range(per_cell):
            for c, label in enumerate(CLASSES):
                for g, group in enumerate(GROUPS):
                    sample = Sample(
                        id=f"{i:04d}-{c}-{g}",
                        origin="synthetic",
                        label=label,
                        group=group,
                        bundle_digest=bundle,
                        **{**SETTINGS, "steps": steps},
                    )
                    writer.add(sample, encode_image(image(label, group, i), mark=mark), "png")
    return folder


def write_real(folder: Path, per_cell: int = 8) -> Path:
    """Phantoms as real images in train/, validation/ and test/."""
    for n, (split, count) in enumerate((("train", per_cell), ("validation", 2), ("test", per_cell))):
        with ShardSetWriter(folder / split, split, classes=CLASSES) as writer:
            for i in range(count):
                for c, label in enumerate(CLASSES):
                    for g, group in enumerate(GROUPS):
                        image = draw(label, group, 5000 + 1000 * n + i).image
                        sample = Sample(id=f"r{n}-{i:04d}-{c}-{g}", origin="phantom", label=label, group=group)
                        writer.add(sample, encode_image(image, "png", 0), "png")
    return folder


def certificate(**changes: object) -> UseCertificate:
    """A certificate of one row that passes."""
    row = Row(
        measure="recall",
        cell="all",
        scale="ratio",
        n=100,
        teacher=0.8,
        student=0.79,
        value=0.99,
        low=0.97,
        high=1.01,
        least=0.95,
        most=None,
        verdict="pass",
    )
    images = ImagesUsed(digest="d" * 64, images=9, bundles=(BUNDLE,), settings=(SETTINGS,))
    cells = tuple(
        Cell(label=label, group=group, strategy="text-to-image", n=1, settings=(0,))
        for label in CLASSES
        for group in GROUPS
    )
    whole = UseCertificate(
        bundle=BUNDLE,
        verdict="pass",
        confidence=0.9,
        fail_confidence=0.9,
        teacher=images,
        student=images,
        real={"test": ImagesUsed(digest="e" * 64, images=9)},
        cells=cells,
        rows=(row,),
        extractors={"plain": "plain"},
        classifier="",
        seeds=0,
        ratio=0.0,
        created_by="test",
    )
    return whole.model_copy(update=changes)
