"""Finds the images of other tools and data sets: folders with tables, class folders, tars, Hugging Face's files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from dermforge.common.errors import UserError
from shards.ingest import hub
from shards.ingest.by_table import by_tables
from shards.ingest.found import FoundImage, Inventory
from shards.ingest.join import without_suffix
from shards.ingest.kinds import Kind, classify
from shards.ingest.samples import samples
from shards.ingest.sorting import Sorted, sort_files
from shards.ingest.splits import split_and_class
from shards.ingest.tables import Described, TableNotUnderstood, tables_for
from shards.ingest.walk import File, walk

#: The columns of well-known data sets.
PRESETS: dict[str, dict[str, str]] = {
    "fitzpatrick17k": {"file": "md5hash", "class": "label", "group": "fitzpatrick_scale"},
    "ddi": {"file": "DDI_file", "class": "disease", "group": "skin_tone"},
    "pad-ufes-20": {"file": "img_id", "class": "diagnostic", "group": "fitspatrick", "cluster": "patient_id"},
}
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
        A key of `PRESETS`.
    columns
        Our name of a column -> its name in the table; these override the preset.
    from_folders
        Folders name the classes, whatever tables there are.
    least_found
        The least share of a table's rows that must name an image which is there.
    needs_classes
        Whether a table must have a column of classes.
    """

    table: Path | None = None
    preset: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    from_folders: bool = False
    least_found: float = LEAST_FOUND
    needs_classes: bool = True

    @property
    def chosen(self) -> dict[str, str]:
        """The columns of the preset, and those that were named."""
        if self.preset is not None and self.preset not in PRESETS:
            raise UserError(f"preset {self.preset!r}; expected {', '.join(PRESETS)}")
        return PRESETS.get(self.preset or "", {}) | dict(self.columns)


def find(source: Path, labels: Labels = Labels()) -> Inventory:
    """Find every file of a folder, a tar or a parquet file, and the images among them.

    Every file is in the result once: as an image, or as passed over with the reason.

    Raises
    ------
    UserError
        There is nothing, a file is damaged, or the labels cannot be told: see `TableNotUnderstood`, `ImagesMissing`.
    """
    chosen = labels.chosen
    if not source.exists():
        raise UserError(f"there is no {source}; expected a folder of images, a tar or a Hugging Face folder")
    files = walk(source) if source.is_dir() else [File(source.name, source)]
    scratch = tempfile.TemporaryDirectory(prefix="dermforge-")
    have = sort_files(files, Path(scratch.name))
    tables = _tables(source, have, chosen, labels)
    notes: list[str] = []
    streams: list[Iterable[FoundImage]] = [samples(members, tar, notes) for tar, members in have.samples]
    streams += [hub.rows_of(file, chosen) for file in have.hubs]
    if tables:
        loose = by_tables(source, have.pictures, tables, chosen, labels.least_found, notes)
    else:
        loose = list(_by_folders(have.pictures))
    listed = {one.place for one in loose}
    have.passed_over += [(f.place, classify(f.place)[1]) for f in have.pictures if f.place not in listed]
    if not any(Path(scratch.name).iterdir()):
        scratch.cleanup()
        return Inventory(chain(chain.from_iterable(streams), loose), have.passed_over, notes)
    return Inventory(chain(chain.from_iterable(streams), loose), have.passed_over, notes, scratch)


def _tables(source: Path, have: Sorted, chosen: Mapping[str, str], labels: Labels) -> list[Described]:
    """The tables to use; the others are passed over."""
    tables: list[Described] = []
    embedded = bool(have.samples or have.hubs) and not have.pictures
    if labels.table or not (labels.from_folders or embedded):
        tables = tables_for(source, have.tables, chosen, labels.table, labels.needs_classes)
        if chosen and not tables and not have.hubs:
            raise TableNotUnderstood(
                f"no table in {source} has the columns {', '.join(chosen.values())}; name the table to use"
            )
    used = {described.file.path.resolve() for described in tables}
    for file in have.tables:
        why = "read: it describes the images" if file.path.resolve() in used else "a table that is not used"
        have.passed_over.append((file.place, why))
    return tables


def _by_folders(pictures: Iterable[File]) -> Iterator[FoundImage]:
    """Every picture but masks, with the class and the split that its folders name."""
    for file in pictures:
        kind, why = classify(file.place)
        if kind is not Kind.MASK:
            split, label = split_and_class(file.parts)
            name = without_suffix(file.place).replace("/", "-")
            yield FoundImage(name, {"class": label, "split": split, "attributes": {}}, file, why, file.place)
