"""The data sheet: what was generated from what, by which model and settings; and a contact sheet of it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from evalsuite.predictions import levels
from evalsuite.report.page import Picture, Table
from evalsuite.training.data import open_images, open_splits
from shards import ImageSet, ShardSet
from shards import lineage as ranges

TILE, LABEL = 72, 88


def data_sheet(real: Path, synthetic: Sequence[Path]) -> list[Table]:
    """Tables of the real splits, of the synthetic shards, and of their cells."""
    splits = open_splits(real)
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    tables = [Table(
        ("real images", "origin", "images", "classes", "skin types"),
        [(name, _words(part, "origin"), str(part.n), str(part.rows["class"].nunique()),
          ", ".join(f"{g} {n}" for g, n in _counts(part, "group"))) for name, part in parts.items()],
        f"Real images: {real}",
    )]
    for folder in synthetic:
        images = open_images(folder)
        tables += [Table(("synthetic images", "value"), _facts(images), f"Synthetic images: {folder}"), _cells(images)]
    return tables


def contact_sheet(folders: Sequence[Path], per_cell: int = 2) -> Picture | None:
    """A grid of class x skin type with the first images of each cell; None without images."""
    if not folders:
        return None
    images = open_images(folders[0])
    rows = images.rows
    groups = [g if g is not None else "unknown" for g in rows["group"]]
    classes, columns = list(images.classes), levels(groups)
    sheet = Image.new("RGB", (LABEL + len(columns) * per_cell * TILE, 20 + len(classes) * TILE), "white")
    pen = ImageDraw.Draw(sheet)
    for x, group in enumerate(columns):
        pen.text((LABEL + x * per_cell * TILE + 3, 4), group, fill="black")
    for y, cls in enumerate(classes):
        pen.text((3, 20 + y * TILE + TILE // 2 - 5), cls, fill="black")
        for x, group in enumerate(columns):
            here = [i for i, (c, g) in enumerate(zip(rows["class"], groups, strict=True)) if (c, g) == (cls, group)]
            for k, position in enumerate(here[:per_cell]):
                tile = _tile(images.image_at(position, verify=False)[1])
                sheet.paste(tile, (LABEL + (x * per_cell + k) * TILE + 1, 20 + y * TILE + 1))
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return Picture(
        out.getvalue(),
        f"Contact sheet of synthetic images: rows are the classes {', '.join(classes)}, columns the skin types "
        f"{', '.join(columns)}, {per_cell} images in each cell.",
        f"The first {per_cell} images of each class and skin type, in stored order; none was picked by eye.",
    )


def _tile(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image).resize((TILE - 2, TILE - 2), Image.Resampling.BICUBIC)


def _facts(images: ImageSet) -> list[tuple[str, str]]:
    facts = [
        ("images", str(images.n)), ("origin", _words(images, "origin")), ("strategies", _words(images, "strategy")),
        ("made from a real image", str(int(images.rows["parent"].notna().sum()))),
    ]
    if images.n:
        one, _ = images.at(0, verify=False)
        settings = {
            "solver": one.solver, "steps": one.steps, "guidance": one.guidance,
            "guidance interval": one.guidance_interval, "strength": one.strength, "size": one.size,
            "example prompt": one.prompt, "negative prompt": one.negative_prompt,
        }
        facts += [(name, str(value)) for name, value in settings.items() if value is not None]
    if isinstance(images, ShardSet):
        first = images.sidecars[0]
        lineage = sorted({entry for sidecar in images.sidecars for entry in sidecar.lineage})
        facts += [
            ("shards", str(len(images.sidecars))), ("written by", first.created_by),
            ("plan sha256", first.plan_digest or "not recorded"),
            ("engine sha256", first.bundle_digest or "not recorded"),
            ("model sha256", first.model_digest or "not recorded"),
            ("real images the generator saw", str(ranges.count(lineage)) if lineage else "none recorded"),
        ]
    return facts


def _cells(images: ImageSet) -> Table:
    groups = [g if g is not None else "unknown" for g in images.rows["group"]]
    counts = Counter(zip(images.rows["class"], groups, strict=True))
    columns = levels(groups)
    return Table(
        ("images", *columns),
        [(cls, *(str(counts[cls, group]) for group in columns)) for cls in images.classes],
        "Synthetic images by class and skin type asked for",
    )


def _counts(images: ImageSet, column: str) -> list[tuple[str, int]]:
    found = Counter(v if v is not None else "unknown" for v in images.rows[column])
    return [(name, found[name]) for name in levels(found)]


def _words(images: ImageSet, column: str) -> str:
    return ", ".join(f"{name} ({n})" for name, n in _counts(images, column) if name != "unknown") or "not recorded"
