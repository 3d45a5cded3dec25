"""The images that tables list, and those beside them that no table lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dermforge.common.errors import UserError
from shards.ingest.columns import facts_of, resolve
from shards.ingest.found import FoundImage
from shards.ingest.join import ImageFiles, without_suffix
from shards.ingest.kinds import Kind, classify
from shards.ingest.splits import split_of
from shards.ingest.tables import Described, is_metadata
from shards.ingest.walk import File


class ImagesMissing(UserError):
    """A table names images, and most of them are not there."""


def by_tables(
    source: Path,
    pictures: Sequence[File],
    tables: Sequence[Described],
    chosen: Mapping[str, str],
    least_found: float,
    notes: list[str],
) -> list[FoundImage]:
    """An entry for each picture and for each row that names none. Masks that no table lists are left out.

    Parameters
    ----------
    tables
        One for all images, or one for each of some folders.
    chosen
        Our name of a column -> its name in the tables.
    least_found
        The least share of a table's rows that must name an image which is there.
    notes
        Gets a sentence for each table with missing images.

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
        rows = _rows(described, ImageFiles(mine or pictures, source / inside, inside), chosen)
        _check_share(source, described, rows, least_found, notes)
        used |= {one.place for one in rows if one.data is not None}
        found += rows
    listed = " and ".join(described.file.name for described in tables[:3])
    for file in pictures:
        if file.place not in used and classify(file.place)[0] is not Kind.MASK:
            why = classify(file.place)[1] or f"{listed} does not list it"
            found.append(FoundImage(without_suffix(file.place), {}, file, why, file.place))
    return found


def _rows(described: Described, files: ImageFiles, chosen: Mapping[str, str]) -> list[FoundImage]:
    """An entry for each row; several rows of one file are one entry if they say the same, and none if they do not."""
    table = described.frame
    columns = resolve(table, chosen, files.matches)
    inside = described.inside.split("/") if described.inside else []
    first: dict[str, tuple[int, FoundImage]] = {}
    entries: list[FoundImage] = []
    from_folders = is_metadata(described.file) and not columns["class"]
    for number, values in enumerate(table.itertuples(index=False), 2):
        row = dict(zip(table.columns, values, strict=True))
        entry = _entry(row, columns, files, inside)
        if from_folders and isinstance(entry.data, File) and entry.data.parts != tuple(inside):
            entry.facts["class"] = entry.data.parts[-1]
        if entry.data is None:
            entries.append(entry)
        elif entry.place not in first:
            first[entry.place] = (number, entry)
            entries.append(entry)
        else:
            before, kept = first[entry.place]
            same = kept.facts == entry.facts
            if not same:
                kept.problem = f"rows {before} and {number} of {described.file.name} say different things of it"
            why = f"row {number} of {described.file.name} names the same file as row {before}"
            entries.append(FoundImage(f"{kept.place}, row {number}", {}, None, why))
    return entries


def _entry(
    row: Mapping[str, str | None], columns: Mapping[str, str | None], files: ImageFiles, inside: Sequence[str]
) -> FoundImage:
    cell = row[str(columns["file"])] or ""
    facts: dict[str, Any] = facts_of(row, columns)
    facts["split"] = facts.get("split") or split_of(*inside)
    problem = "there is no such image file"
    try:
        file = files.find(cell)
    except UserError as error:
        file, problem = None, str(error)
    if file is None:
        return FoundImage(cell or "a row without a file name", facts, None, problem)
    name = facts.get("id") or "-".join([*inside, files.name(file, cell)])
    problem = classify(file.place)[1] if classify(file.place)[0] is Kind.PICTURE else ""
    return FoundImage(name, facts, file, problem, file.place)


def _of_folder(described: Described, pictures: Sequence[File]) -> list[File]:
    if not described.inside:
        return list(pictures)
    return [file for file in pictures if file.place.startswith(f"{described.inside}/")]


def _check_share(
    source: Path, described: Described, rows: Sequence[FoundImage], least: float, notes: list[str]
) -> None:
    missing = [one for one in rows if one.data is None and "names the same file" not in one.problem]
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
