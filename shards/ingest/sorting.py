"""Sorts the files of a data set by what they are; archives are opened, and their members sorted too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dermforge.common.errors import UserError
from shards.ingest import hub
from shards.ingest.files import archives
from shards.ingest.files.kinds import Kind, classify
from shards.ingest.files.walk import File
from shards.ingest.samples import holds_samples, is_label, unlabelled

_PICTURES = (Kind.IMAGE, Kind.MASK, Kind.PICTURE)


@dataclass
class Sorted:
    """The files of a data set by what they are; each is in one list.

    Attributes
    ----------
    pictures
        Images, masks, and pictures that cannot be read.
    tables
        On disk; those of archives are copied there.
    samples
        Tars as webdataset writes them, with their useful members.
    hubs
        Parquet and arrow files that hold their images.
    passed_over
        Place and reason of every other file.
    """

    pictures: list[File] = field(default_factory=list)
    tables: list[File] = field(default_factory=list)
    samples: list[tuple[File, list[File]]] = field(default_factory=list)
    hubs: list[File] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)

    def add(self, file: File) -> None:
        """Put a file in its list."""
        kind, why = classify(file.place)
        if file.problem:
            self.passed_over.append((file.place, file.problem))
        elif kind in _PICTURES:
            self.pictures.append(file)
        elif kind is Kind.TABLE and file.place.casefold().endswith(".parquet") and hub.holds_images(file):
            self.hubs.append(file)
        elif kind is Kind.TABLE:
            self.tables.append(file)
        elif kind is Kind.HUB:
            self.hubs.append(file)
        else:
            self.passed_over.append((file.place, why or "a tar within a tar; unpack it"))


def sort_files(files: Sequence[File], scratch: Path) -> Sorted:
    """Sort the files of a data set.

    Parameters
    ----------
    scratch
        Folder for what has to be unpacked.

    Raises
    ------
    UserError
        An archive is damaged, or its samples have no labels that are known.
    """
    result = Sorted()
    tars = [file for file in files if not file.problem and classify(file.place)[0] is Kind.TAR]
    alone = len(tars) == 1 and not any(classify(file.place)[0] is Kind.IMAGE for file in files)
    for file in files:
        if file in tars:
            _open_tar(file, "" if alone else f"{file.place}/", scratch, result)
        else:
            result.add(file)
    return result


def _open_tar(tar: File, prefix: str, scratch: Path, result: Sorted) -> None:
    """A tar of samples is kept whole; the members of another are files like those of a folder."""
    members = archives.members(tar.path, scratch)
    useful = [m for m in members if not m.problem and (classify(m.place)[0] in _PICTURES or _labels(m))]
    if holds_samples(useful):
        result.samples.append((tar, useful))
        rest = set(members) - set(useful)
        result.passed_over += [
            (f"{tar.place}/{m.place}", m.problem or classify(m.place)[1]) for m in members if m in rest
        ]
        return
    if not any(m.parts for m in useful) and (strange := unlabelled(members)):
        raise UserError(
            f"{tar.path} names no classes: its samples have {', '.join(strange)} beside the picture; expected cls or "
            "json, a table, or folders named after classes"
        )
    for number, member in enumerate(_prefixed(members, prefix)):
        is_table = classify(member.place)[0] in (Kind.TABLE, Kind.HUB) and not member.problem
        result.add(_on_disk(member, scratch / f"{tar.path.name}-{number}") if is_table else member)


def _labels(member: File) -> bool:
    """Whether a member labels a sample; hidden ones do not."""
    return is_label(member) and not any(part.startswith(".") for part in PurePosixPath(member.place).parts)


def _prefixed(members: Sequence[File], prefix: str) -> Iterator[File]:
    for m in members:
        yield File(prefix + m.place, m.path, m.at, m.size, m.problem)


def _on_disk(member: File, folder: Path) -> File:
    folder.mkdir()
    copy = folder / member.name
    copy.write_bytes(member.read())
    return File(member.place, copy)
