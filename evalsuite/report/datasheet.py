"""The data sheet: what was generated from what, by which model and settings; and a contact sheet of it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from dermforge.common import id_ranges as ranges
from evalsuite.fairness.predictions import levels
from evalsuite.page.blocks import Picture, Table
from evalsuite.training.data.open_splits import open_splits
from shards import ImageSet, ShardSet, open_data
from shards.tools.contact_sheet import contact_sheet


def data_sheet(real: Path, synthetic: Sequence[Path]) -> list[Table]:
    """Tables of the real splits, of the synthetic shards, and of their cells."""
    splits = open_splits(real)
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    tables = [
        Table(
            ("real images", "origin", "images", "classes", "skin types"),
            [
                (
                    name,
                    _words(part, "origin"),
                    str(part.n),
                    str(part.rows["class"].nunique()),
                    ", ".join(f"{g} {n}" for g, n in _counts(part, "group")),
                )
                for name, part in parts.items()
            ],
            f"Real images: {real}",
        )
    ]
    for folder in synthetic:
        images = open_data(folder)
        tables += [
            Table(("synthetic images", "value"), _facts(images), f"Synthetic images: {folder}"),
            _settings(images),
            _cells(images),
        ]
    return tables


def sheet(folders: Sequence[Path], per_cell: int = 2) -> Picture | None:
    """The first images of every class and skin type of the first folder; None without folders."""
    if not folders:
        return None
    images = open_data(folders[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sheet.png"
        contact_sheet(images, path, per_cell=per_cell)
        png = path.read_bytes()
    groups = levels(g if g is not None else "unknown" for g in images.rows["group"])
    return Picture(
        png,
        f"Contact sheet of synthetic images: rows are the classes {', '.join(images.classes)}, columns the skin types "
        f"{', '.join(groups)}, {per_cell} images in each cell.",
        f"The first {per_cell} images of each class and skin type, in stored order, without selection.",
    )


def _facts(images: ImageSet) -> list[tuple[str, str]]:
    facts = [
        ("images", str(images.n)),
        ("origin", _words(images, "origin")),
        ("strategies", _words(images, "strategy")),
        ("made from a real image", str(int(images.rows["parent"].notna().sum()))),
    ]
    if isinstance(images, ShardSet):
        lineage = sorted({entry for sidecar in images.sidecars for entry in sidecar.lineage})
        facts += [
            ("shards", str(len(images.sidecars))),
            ("written by", _recorded(s.created_by for s in images.sidecars)),
            ("plan sha256", _recorded(s.plan_digest for s in images.sidecars)),
            ("engine sha256", _recorded(s.bundle_digest for s in images.sidecars)),
            ("model sha256", _recorded(s.model_digest for s in images.sidecars)),
            ("real images the generator saw", ranges.in_words(lineage)),
        ]
    return facts


def _recorded(values: Iterable[str | None]) -> str:
    """All values: shards of two plans may lie in one folder."""
    return ", ".join(sorted({v for v in values if v})) or "not recorded"


def _settings(images: ImageSet) -> Table:
    """How the first image of each strategy was made; the strategies of a plan differ in their settings."""
    firsts = images.rows["strategy"].fillna("not recorded").drop_duplicates()
    samples = [images.at(int(position), verify=False)[0] for position in firsts.index]
    shown = {
        name: [getattr(sample, field) for sample in samples]
        for name, field in (
            ("solver", "solver"),
            ("steps", "steps"),
            ("guidance", "guidance"),
            ("guidance interval", "guidance_interval"),
            ("strength", "strength"),
            ("size", "size"),
            ("prompt", "prompt"),
            ("negative prompt", "negative_prompt"),
        )
    }
    return Table(
        ("first image of each strategy", *firsts),
        [
            (name, *("" if v is None else str(v) for v in values))
            for name, values in shown.items()
            if any(v not in (None, "") for v in values)
        ],
        "Settings of the generator",
    )


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
