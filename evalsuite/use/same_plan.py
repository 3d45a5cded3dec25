"""The two sets that are compared: of the same cells, and where they can be, paired image by image."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from dermforge.common.missing import UNKNOWN
from dermforge.common.use_certificate import Cell, ImagesUsed, settings_of
from evalsuite.images.image_data import ImageData, describe
from shards import ImageSet
from shards.format.schema import Sample

KEYS = ("class", "group", "strategy", "parent")


@dataclass(frozen=True)
class Pair:
    """The images of both sides, rows in the same order where `paired`.

    Attributes
    ----------
    paired
        Row i of both is the same row of a plan: one id, and one cell.
    """

    teacher: ImageSet
    student: ImageSet
    paired: bool

    @property
    def groups(self) -> list[str]:
        """Skin types of both, those that are known."""
        return sorted({str(group) for group in describe(self.teacher)["group"].dropna()} - {UNKNOWN})


def same_plan(teacher: ImageSet, student: ImageSet) -> Pair:
    """Both sides, after it was checked that they hold equally many images of every cell (`KEYS`).

    Raises
    ------
    UserError
        They do not, or one holds images that are not synthetic; says where they differ.
    """
    frames = {"teacher": describe(teacher), "student": describe(student)}
    for name, data in (("teacher", teacher), ("student", student)):
        wrong = data.rows.loc[data.rows["origin"] != "synthetic", "id"]
        if len(wrong):
            raise UserError(
                f"the {name}'s images are not all synthetic ({len(wrong)} are not, the first {wrong.iloc[0]}); give "
                "what `gen sample` wrote"
            )
    before, after = (
        Counter(frame[list(KEYS)].itertuples(index=False, name=None))
        for frame in (frames["teacher"], frames["student"])
    )
    if before != after:
        raise UserError(f"{_difference(before, after)}; draw both by one plan, with other settings only")
    orders = {name: np.argsort(frame["id"].to_numpy(str), kind="stable") for name, frame in frames.items()}
    one, other = (frames[name].iloc[orders[name]].reset_index(drop=True) for name in ("teacher", "student"))
    paired = one[["id", *KEYS]].equals(other[["id", *KEYS]]) and one["id"].is_unique
    return Pair(teacher.take(orders["teacher"]), student.take(orders["student"]), paired)


def _difference(teacher: Counter[tuple[Any, ...]], student: Counter[tuple[Any, ...]]) -> str:
    """Where two plans differ, in words: the first cells, and how many there are."""
    other = sorted((cell for cell in teacher | student if teacher[cell] != student[cell]), key=str)
    cells = [
        f"{' x '.join(str(part) for part in cell if part is not None)} ({teacher[cell]} and {student[cell]})"
        for cell in other[:3]
    ]
    more = f" and {len(other) - 3} cells more" if len(other) > 3 else ""
    total = f"{sum(teacher.values())} images of the teacher and {sum(student.values())} of the student"
    return f"{total} are not of one plan: they differ in {', '.join(cells)}{more}"


@dataclass
class Noting:
    """A set of images that takes down by which settings they were drawn, as they are read.

    Attributes
    ----------
    settings
        Each combination, by a text of it.
    of_cell
        Those texts, for each class, skin type and strategy.
    """

    data: ImageSet
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    of_cell: dict[tuple[str, str | None, str | None], set[str]] = field(default_factory=dict)

    @property
    def rows(self) -> pd.DataFrame:
        return self.data.rows

    def images(self) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
        for sample, image in self.data.images():
            own = settings_of(sample.model_dump())
            text = repr(sorted(own.items()))
            self.settings[text] = own
            self.of_cell.setdefault((sample.label, sample.group, sample.strategy), set()).add(text)
            yield sample, image

    def take(self, positions: NDArray[np.intp]) -> ImageData:
        return Noting(self.data.take(positions), self.settings, self.of_cell)

    def cells(self) -> tuple[Cell, ...]:
        """The cells without their parents; settings are numbered as `used` lists them."""
        counts = Counter(describe(self.data)[["class", "group", "strategy"]].itertuples(index=False, name=None))
        places = {text: place for place, text in enumerate(sorted(self.settings))}
        return tuple(
            Cell(
                label=cell[0],
                group=cell[1],
                strategy=cell[2],
                n=counts[cell],
                settings=tuple(sorted(places[text] for text in self.of_cell.get(cell, ()))),
            )
            for cell in sorted(counts, key=lambda cell: tuple(str(part or "") for part in cell))
        )


def used(data: ImageSet, settings: dict[str, dict[str, Any]] | None = None) -> ImagesUsed:
    """What a certificate records of a set of images."""
    origins = {data.provenance(position) for position in range(data.n)}
    total = hashlib.sha256()
    for name, digest in sorted(zip(data.rows["id"], data.rows["image_sha256"], strict=True)):
        total.update(f"{name} {digest}\n".encode())
    return ImagesUsed(
        digest=total.hexdigest(),
        images=data.n,
        bundles=_named(origin.bundle_digest for origin in origins),
        models=_named(origin.model_digest for origin in origins),
        plans=_named(origin.plan_digest for origin in origins),
        settings=tuple(own for _, own in sorted((settings or {}).items())),
    )


def _named(digests: Iterator[str | None]) -> tuple[str, ...]:
    """Each digest once; "" for shards that name none."""
    found = {digest or "" for digest in digests}
    return () if found == {""} else tuple(sorted(found))
