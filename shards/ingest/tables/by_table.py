"""The images that tables list, and those beside them that no table lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from dermforge.common.errors import UserError
from shards.ingest.files.found import FoundImage
from shards.ingest.files.kinds import Kind, classify
from shards.ingest.files.walk import File
from shards.ingest.tables import skin_types
from shards.ingest.tables.columns import facts_of, folded, resolve, tidy
from shards.ingest.tables.find_table import Described, is_metadata
from shards.ingest.tables.join import ImageFiles, without_suffix
from shards.ingest.tables.labelling import Row, class_of, left_out
from shards.ingest.tables.recipe import Recipe
from shards.ingest.tables.splits import split_of


class ImagesMissing(UserError):
    """A table names images, and most of them are not there."""


def by_tables(
    source: Path,
    pictures: Sequence[File],
    tables: Sequence[Described],
    recipe: Recipe,
    least_found: float,
    notes: list[str],
) -> list[FoundImage]:
    """An entry for each picture and for each row that names none. Masks that no table lists are left out.

    Parameters
    ----------
    tables
        One for all images, or one for each of some folders.
    recipe
        How to read them.
    least_found
        The least share of a table's rows that must name an image which is there.
    notes
        Gets a sentence for each table with missing images, and for skin types that were written otherwise.

    Raises
    ------
    ImagesMissing
        Fewer rows than that do.
    """
    found: list[FoundImage] = []
    used: set[str] = set()
    for described in tables:
        mine = _of_folder(described, pictures)
        inside = described.inside if mine else ""
        rows = _Rows(described, ImageFiles(mine or pictures, source / inside, inside), recipe).entries(notes)
        _check_share(source, described, rows, least_found, notes)
        used |= {one.place for one in rows if one.data is not None}
        found += rows
    listed = " and ".join(described.file.name for described in tables[:3])
    for file in pictures:
        if file.place not in used and classify(file.place)[0] is not Kind.MASK:
            why = classify(file.place)[1] or f"{listed} does not list it"
            found.append(FoundImage(without_suffix(file.place), {}, file, why, file.place))
    return found


class _Rows:
    """The rows of one table as entries."""

    def __init__(self, described: Described, files: ImageFiles, recipe: Recipe) -> None:
        self.described, self.files, self.recipe = described, files, recipe
        names = [str(name) for name in described.frame.columns]
        self.columns = resolve(described.frame, recipe.columns, None if recipe.prefix else files.matches)
        self.inside = described.inside.split("/") if described.inside else []
        by_key = {folded(name): name for name in names}
        self.pictures = [by_key[key] for key in map(folded, recipe.files) if key in by_key]
        self.same_as = next((by_key[key] for key in map(folded, recipe.same_as) if key in by_key), None)
        self.onehot = [by_key[key] for key in map(folded, recipe.onehot) if key in by_key]
        if recipe.onehot:
            self.columns["class"] = None
        self.from_folders = is_metadata(described.file) and not self.columns["class"] and not recipe.onehot

    def entries(self, notes: list[str]) -> list[FoundImage]:
        """An entry for each row and picture; rows of one picture are one entry if they agree, and none if not."""
        table, entries = self.described.frame, list[FoundImage]()
        first: dict[str, tuple[int, FoundImage]] = {}
        for number, values in enumerate(table.itertuples(index=False), 2):
            for entry in self._of_row(dict(zip(table.columns, values, strict=True))):
                before, kept = first.setdefault(entry.place, (number, entry)) if entry.place else (number, entry)
                if kept is not entry:
                    entry = self._second(before, kept, number, entry)
                entries.append(entry)
        self._normalise(entries, notes)
        return entries

    def _second(self, before: int, kept: FoundImage, number: int, entry: FoundImage) -> FoundImage:
        name = self.described.file.name
        if kept.facts != entry.facts:
            kept.problem = f"rows {before} and {number} of {name} say different things of it"
        why = f"row {number} of {name} names the same file as row {before}"
        return FoundImage(f"{kept.place}, row {number}", {}, None, why, repeats=True)

    def _of_row(self, row: Row) -> Iterator[FoundImage]:
        out = left_out(row, self.recipe.where, "where" in self.recipe.required)
        cells = [cell for column in self.pictures if (cell := row[column])] or [row[str(self.columns["file"])] or ""]
        for cell in cells:
            for file, problem in self._files(cell):
                yield self._entry(row, cell, file, problem, out)

    def _files(self, cell: str) -> list[tuple[File | None, str]]:
        try:
            if self.recipe.prefix:
                found: list[File | None] = [*self.files.beginning(cell)] or [None]
            else:
                found = [self.files.find(cell)]
        except UserError as error:
            return [(None, str(error))]
        return [(file, "" if file else "there is no such image file") for file in found]

    def _entry(self, row: Row, cell: str, file: File | None, problem: str, out: str) -> FoundImage:
        facts = facts_of(row, self.columns, [*self.onehot, *self.pictures, *([self.same_as] if self.same_as else [])])
        label, unclear = class_of(row, self.columns["class"], self.recipe)
        facts["class"] = label if self.onehot else tidy("class", label)
        facts["split"] = facts.get("split") or split_of(*self.inside)
        if self.same_as and (other := tidy("same_as", row[self.same_as])):
            facts["attributes"]["same_as"] = other
        if file is None:
            return FoundImage(cell or "a row without a file name", facts, None, problem)
        if self.from_folders and file.parts != tuple(self.inside):
            facts["class"] = file.parts[-1]
        one_each = not self.pictures and not self.recipe.prefix
        own = (facts.get("id") if one_each else None) or "-".join([*self.inside, self.files.name(file, cell)])
        unread = classify(file.place)[1] if classify(file.place)[0] is Kind.PICTURE else ""
        return FoundImage(own, facts, file, out or unclear or unread, file.place)

    def _normalise(self, entries: Sequence[FoundImage], notes: list[str]) -> None:
        """Write skin types in one notation, and say what became of them."""
        column = self.columns["group"] or ""
        counts = Counter((column, str(group)) for one in entries if (group := one.facts.get("group")) is not None)
        notation = skin_types.Notation(counts, self.recipe.scale)
        for one in entries:
            one.facts["group"] = notation.of(column, one.facts.get("group"))
        notes += notation.notes(self.described.file.name)


def _of_folder(described: Described, pictures: Sequence[File]) -> list[File]:
    if not described.inside:
        return list(pictures)
    return [file for file in pictures if file.place.startswith(f"{described.inside}/")]


def _check_share(
    source: Path, described: Described, rows: Sequence[FoundImage], least: float, notes: list[str]
) -> None:
    missing = [one for one in rows if one.data is None and not one.repeats]
    if not missing:
        return
    have, total = len(rows) - len(missing), len(rows)
    said = f"{described.file.name} has {total} rows, and {len(missing)} of them name no image in {source}"
    if have < least * total or not have:
        raise ImagesMissing(
            f"{said} (the first is {missing[0].name!r}: {missing[0].problem}); at least {least:.0%} must have one. Get "
            "the other images, or allow them to be missing"
        )
    notes.append(f"{said}: they are listed")
