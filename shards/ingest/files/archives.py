"""The members of tars, plain or compressed, as files of a data set. Nothing is ever extracted by a name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from dermforge.common.decoding import decoding
from dermforge.common.errors import UserError
from shards.format import tar
from shards.ingest.files.walk import File

_OPENERS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def members(path: Path, scratch: Path) -> list[File]:
    """Every member of a tar that is no folder, in stored order; a compressed tar is unpacked into `scratch`.

    Raises
    ------
    UserError
        The tar is empty, damaged or truncated. `tarfile` and webdataset would stop silently at a bad header.
    """
    plain = _plain(path, scratch)
    with plain.open("rb") as file:
        with (
            decoding(f"{path} is not a whole tar", "repair it with the tool that wrote it"),
            tarfile.open(fileobj=file, mode="r:") as archive,
        ):
            files = _last_of_each([_file(member, plain) for member in archive if not member.isdir()])
            end = archive.offset
        _check_end(file, end, path)
    if not files:
        raise UserError(f"{path} is an empty tar; take it away, or write it again")
    return files


def _last_of_each(files: list[File]) -> list[File]:
    """Of members with one name the last counts, as where a tar is unpacked; the others say so."""
    last = {file.place: number for number, file in enumerate(files)}
    return [
        file
        if last[file.place] == number
        else File(f"{file.place} ({number})", file.path, file.at, file.size, "a later member of the tar has its name")
        for number, file in enumerate(files)
    ]


def _file(member: tarfile.TarInfo, plain: Path) -> File:
    place = "/".join(part for part in member.name.split("/") if part not in ("", ".", ".."))
    problem = "" if member.isreg() and not member.sparse else "a link or a special member of a tar"
    return File(place or "unnamed", plain, member.offset_data, member.size, problem)


def _plain(path: Path, scratch: Path) -> Path:
    """The tar itself, or its decompressed copy."""
    with path.open("rb") as file:
        begin = file.read(6)
    opener = next((opener for magic, opener in _OPENERS.items() if begin.startswith(magic)), None)
    if opener is None:
        return path
    copy = scratch / f"{len(list(scratch.iterdir()))}.tar"
    with (
        decoding(f"{path} cannot be decompressed", "repair it with the tool that wrote it"),
        opener(path) as packed,
        copy.open("wb") as out,
    ):
        shutil.copyfileobj(packed, out, 1 << 20)
    return copy


def _check_end(file: BinaryIO, end: int, path: Path) -> None:
    file.seek(end)
    if file.read(tar.BLOCK) != bytes(tar.BLOCK):
        raise UserError(
            f"{path} is not a whole tar: expected the end of the archive at byte {end}, but it was truncated "
            "or damaged there; repair it with the tool that wrote it"
        )
