"""Finds the images of other tools and data sets: folders with tables, class folders, tars, Hugging Face's files."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from dermforge.common.errors import UserError
from dermforge.common.missing import is_missing_code
from shards.ingest import hub
from shards.ingest.files.found import USED_TABLE, FoundImage, Inventory
from shards.ingest.files.kinds import UNREAD_TABLES, Kind, classify
from shards.ingest.files.walk import File, walk
from shards.ingest.samples import samples, skin_types_of
from shards.ingest.sorting import Sorted, sort_files
from shards.ingest.tables.by_table import by_tables
from shards.ingest.tables.find_table import Described, TableFinder, TableNotUnderstood
from shards.ingest.tables.join import without_suffix
from shards.ingest.tables.recipe import Recipe, preset
from shards.ingest.tables.skin_types import Notation
from shards.ingest.tables.splits import split_and_class, split_of

#: The least share of a table's rows that must name an image which is there.
LEAST_FOUND = 0.5


@dataclass(frozen=True)
class Labels:
    """Where the labels of images come from.

    Attributes
    ----------
    table
        The table that describes the images; None looks for one.
    preset
        The name of a file in `presets/`.
    columns
        Our name of a column -> its name in the table; these override the preset.
    onehot, join, where
        As in `Recipe`; they override the preset, and `where` adds to it.
    exclude
        Names or ids of images to leave out.
    from_folders
        Folders name the classes, whatever tables there are.
    least_found
        The least share of a table's rows that must name an image which is there.
    needs_classes
        Whether a table must have a column of classes.
    synthetic
        Whether images may say that they are synthetic.
    """

    table: Path | None = None
    preset: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    onehot: tuple[str, ...] = ()
    join: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    exclude: Collection[str] = ()
    from_folders: bool = False
    least_found: float = LEAST_FOUND
    needs_classes: bool = True
    synthetic: bool = False

    @property
    def recipe(self) -> Recipe:
        """The preset, with what was said otherwise."""
        recipe = (preset(self.preset) if self.preset else Recipe()).with_columns(self.columns)
        changed: dict[str, Any] = {name: value for name in ("onehot", "join") if (value := getattr(self, name))}
        if self.where:
            changed["where"] = (*recipe.where, *self.where)
        changed["required"] = recipe.required | {name for name in ("join", "where") if getattr(self, name)}
        return recipe.model_copy(update=changed)


def find(source: Path, labels: Labels = Labels()) -> Inventory:
    """Find every file of a folder, a tar or a parquet file, and the images among them.

    Every file is in the result once: as an image, or as passed over with the reason.

    Raises
    ------
    UserError
        There is nothing, a file is damaged, or the labels cannot be told: see `TableNotUnderstood`, `ImagesMissing`.
    """
    recipe, notes = labels.recipe, list[str]()
    if not source.is_dir() and not source.is_file():
        raise UserError(f"there is no {source}; expected a folder of images, a tar or a Hugging Face folder")
    files = walk(source) if source.is_dir() else [File(source.name, source)]
    scratch = tempfile.TemporaryDirectory(prefix="dermforge-")
    have = sort_files(files, Path(scratch.name))
    tables = _tables(source, have, recipe, labels, notes)
    notation = _notation(have, recipe, notes)
    streams: list[Iterable[FoundImage]] = [
        samples(members, tar, notes, labels.synthetic, notation) for tar, members in have.samples
    ]
    streams += [hub.rows_of(file, recipe.columns, notation) for file in have.hubs]
    if tables:
        loose = by_tables(source, have.pictures, tables, recipe, labels.least_found, notes)
    else:
        loose = list(_by_folders(have.pictures, recipe))
        notes += _outer_folders(have.pictures)
    listed = {one.place for one in loose}
    have.passed_over += [(f.place, classify(f.place)[1]) for f in have.pictures if f.place not in listed]
    images: Iterator[FoundImage] = chain(chain.from_iterable(streams), loose)
    if labels.exclude:
        images = _without(images, labels.exclude)
    if any(Path(scratch.name).iterdir()):
        return Inventory(images, have.passed_over, notes, scratch)
    scratch.cleanup()
    return Inventory(images, have.passed_over, notes)


def _tables(source: Path, have: Sorted, recipe: Recipe, labels: Labels, notes: list[str]) -> list[Described]:
    """The tables to use; the others are passed over."""
    tables: list[Described] = []
    embedded = bool(have.samples or have.hubs) and not have.pictures
    if labels.table or not (labels.from_folders or recipe.folders or embedded):
        tables = TableFinder(source, have.tables, recipe, labels.needs_classes, notes).find(labels.table)
        if recipe.columns and not tables and not have.hubs:
            names = ", ".join(" or ".join(names) for names in recipe.columns.values())
            raise TableNotUnderstood(f"no table in {source} has the columns {names}; name the table to use")
        unread = [one for one in have.passed_over if _is_unread_table(one[0])]
        if unread and not tables:
            place, why = unread[0]
            raise TableNotUnderstood(f"{source / place}: {why}, or take the classes from the folders")
    used = {file.path.resolve() for described in tables for file in (described.file, *described.read)}
    for file in have.tables:
        why = USED_TABLE if file.path.resolve() in used else "a table that is not used"
        have.passed_over.append((file.place, why))
    return tables


def _is_unread_table(place: str) -> bool:
    """Whether a file is a table that cannot be read; JSON mostly holds something else."""
    return place.casefold().endswith(UNREAD_TABLES) and not place.casefold().endswith(".json")


def _notation(have: Sorted, recipe: Recipe, notes: list[str]) -> Notation:
    """The one notation of skin types in tars and Hugging Face's files, told from all of them together."""
    counts: Counter[tuple[str, str]] = Counter()
    for _, members in have.samples:
        counts += skin_types_of(members)
    for file in have.hubs:
        counts += hub.skin_types_of(file, recipe.columns)
    notation = Notation(counts, recipe.scale)
    files = [*(tar.name for tar, _ in have.samples), *(file.name for file in have.hubs)]
    notes += notation.notes(" and ".join(files[:3]))
    return notation


def _by_folders(pictures: Iterable[File], recipe: Recipe) -> Iterator[FoundImage]:
    """Every picture but masks, with the class and the split that its folders name."""
    for file in pictures:
        kind, why = classify(file.place)
        if kind is not Kind.MASK:
            split, label = split_and_class(file.parts)
            for ending in recipe.trim:
                label = label.removesuffix(ending) if label else label
            if label is not None and is_missing_code(label):
                label, why = None, why or f"its folder {label!r} names no class"
            name = without_suffix(file.place).replace("/", "-")
            yield FoundImage(name, {"class": label, "split": split, "attributes": {}}, file, why, file.place)


def _outer_folders(pictures: Iterable[File]) -> list[str]:
    """Which folders name the classes and which do not, where several stand above images; one that holds all is none."""
    above = [[part for part in f.parts if not split_of(part)] for f in pictures if classify(f.place)[0] is Kind.IMAGE]
    inner = sorted({parts[-1] for parts in above if len(parts) > 1})
    outer = sorted({"/".join(parts[:-1]) for parts in above if len(parts) > 1})
    if len(outer) < 2:
        return []
    few = [", ".join(names[:3]) + (" ..." if len(names) > 3 else "") for names in (inner, outer)]
    return [f"the innermost folders name the classes ({few[0]}); those above them are not used ({few[1]})"]


def _without(images: Iterable[FoundImage], names: Collection[str]) -> Iterator[FoundImage]:
    """Images with a name, an id or a place among these get that as their problem."""
    unwanted = {without_suffix(name).casefold() for name in names}
    for one in images:
        mine = {one.name, without_suffix(one.place), without_suffix(one.place.rpartition("/")[2])}
        if one.data is not None and not unwanted.isdisjoint(name.casefold() for name in mine if name):
            one.problem = "left out: it is among the images to exclude"
        yield one
