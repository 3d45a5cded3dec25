"""Verification of shards: every fault is listed, with what to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from dermforge.common import processes
from dermforge.common.atomic import leftovers
from dermforge.common.digests import digest_stream
from dermforge.common.errors import CheckFailed, UserError
from shards.format import tar
from shards.format.consistency import file_fault, info_faults, listed_in_info, orphan_faults, set_faults, wrong_digest
from shards.format.images import decode_image
from shards.format.interop import INFO, dali_index
from shards.format.nearby import no_shards
from shards.format.schema import REMEDY, SHARD, Sidecar, SidecarRow
from shards.format.unpack import unpack
from shards.format.withdrawn import Withdrawn
from shards.storage.location import Folder, Storage, open_storage
from shards.tools.check_marks import Marks, check_marks, unmarked_sentence


@dataclass
class Verification:
    """The result of a verification.

    Attributes
    ----------
    faults
        What is wrong: the file, what was expected, what was found, and what to do.
    notes
        What is not wrong but good to know, such as leftovers of killed writers.
    """

    shards: int = 0
    images: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(
    location: str | Path,
    deep: bool = False,
    workers: int | None = None,
    tick: Callable[[int], None] = lambda n: None,
    require_marks: bool = False,
) -> Verification:
    """Check every shard of a folder or bucket.

    Parameters
    ----------
    deep
        Read everything: check the digest of every tar and every header, decode every image, and compare its mark with
        what the set says of it. Otherwise only sidecars and sizes are checked.
    workers
        Processes of a deep check; None uses one per core.
    tick
        Called after each shard of a deep check, with its number of images.
    require_marks
        A synthetic image without a mark is a fault of a deep check; otherwise a note counts them.
    """
    where = open_storage(location)
    names = where.names()
    records = sorted(name for name in names if SHARD.match(name) and name.endswith(".json"))
    tars = {name for name in names if SHARD.match(name) and name.endswith(".tar")}
    if not records and not tars:
        raise UserError(no_shards(location))
    result = Verification(shards=len(tars))
    sidecars = [s for name in records if (s := _sidecar(where, name, names, result))]
    result.faults += [*orphan_faults(where, names), *set_faults(where, sidecars), *info_faults(where, names)]
    try:
        result.faults += Withdrawn.of(where, names).faults(where, sidecars)
    except CheckFailed as error:
        result.faults.append(str(error))
    result.notes += _notes(where, names, sidecars)
    result.images = sum(sidecar.n for sidecar in sidecars)
    if deep:
        unmarked: list[str] = []
        for faults, marks, n in _deep(where, sidecars, names, workers):
            result.faults += [*faults, *marks.faults]
            unmarked += marks.unmarked
            tick(n)
        if unmarked:
            (result.faults if require_marks else result.notes).append(unmarked_sentence(unmarked, result.images))
    return result


def check_deeply(file: BinaryIO, sidecar: Sidecar, source: str, index: bytes | None = None) -> list[str]:
    """Faults of one tar: digest, headers, digests of images, JSON, pixels, end of archive, DALI's index.

    Parameters
    ----------
    source
        The name of the tar in the faults.
    """
    faults: list[str] = []
    digest = digest_stream(file)
    if sidecar.sha256 and digest != sidecar.sha256:
        faults.append(wrong_digest(source, sidecar.sha256, digest))
    end = 0
    for row in sidecar.samples:
        end = row.offset + row.bytes
        faults += _sample_faults(os.pread(file.fileno(), row.bytes, row.offset), row, sidecar, source)
    if not ends_as_an_archive(file, end):
        faults.append(f"{source} does not end as an archive ends after byte {end}; {REMEDY}")
    if index is not None and index != dali_index(sidecar):
        faults.append(
            f"{source.removesuffix('.tar')}.idx is not the index of {sidecar.tar}; remove it, or write the shard again"
        )
    return faults


def ends_as_an_archive(file: IO[bytes], end: int) -> bool:
    """Whether nothing but an archive's own ending follows the members, which take `end` bytes."""
    ending = tar.trailer(end)
    return os.pread(file.fileno(), len(ending) + 1, end) == ending


def _sample_faults(data: bytes, row: SidecarRow, sidecar: Sidecar, source: str) -> Iterator[str]:
    try:
        sample, image = unpack(data, row, source, verify=True)
        height, width = decode_image(image).shape[:2]
    except CheckFailed as error:
        yield str(error)
        return
    except UserError as error:
        yield f"{source}: {row.id}: {error}; {REMEDY}"
        return
    at, size = row.members["cls"]
    number, expected = data[at - row.offset : at - row.offset + size], sidecar.classes.index(row.label)
    if number != str(expected).encode():
        yield f"{source}: {row.id}.cls says {number!r}, the class {row.label!r} is {expected}; write the shard again"
    if (width, height) != (sample.width, sample.height):
        yield (
            f"{source}: {row.id} has {width} x {height} pixels, its JSON says {sample.width} x {sample.height}; "
            "write the shard again"
        )


def _deep(
    where: Storage, sidecars: list[Sidecar], names: dict[str, int], workers: int | None
) -> Iterator[tuple[list[str], Marks, int]]:
    jobs = [(where, sidecar, f"{sidecar.stem}.idx" in names) for sidecar in sidecars]
    if len(jobs) < 2 or workers == 1:
        yield from map(_deep_one, jobs)
        return
    with processes.pool(min(len(jobs), workers or os.cpu_count() or 1)) as pool:
        yield from pool.map(_deep_one, jobs)


def _deep_one(job: tuple[Storage, Sidecar, bool]) -> tuple[list[str], Marks, int]:
    where, sidecar, indexed = job
    index = where.read(f"{sidecar.stem}.idx") if indexed else None
    with where.open(sidecar.tar) as file:
        source = f"{where}/{sidecar.tar}"
        return check_deeply(file, sidecar, source, index), check_marks(file, sidecar, source), sidecar.n


def _sidecar(where: Storage, name: str, names: dict[str, int], result: Verification) -> Sidecar | None:
    try:
        sidecar = Sidecar.from_bytes(where.read(name), f"{where}/{name}")
    except CheckFailed as error:
        result.faults.append(str(error))
        return None
    if fault := file_fault(where, names, name, sidecar):
        result.faults.append(fault)
        return None
    return sidecar


def _notes(where: Storage, names: dict[str, int], sidecars: list[Sidecar]) -> Iterator[str]:
    for sidecar in sidecars:
        if sidecar.plan_digest != sidecars[0].plan_digest:
            yield f"{where}/{sidecar.tar} is of another plan than {sidecars[0].tar}"
        if not sidecar.sha256:
            yield f"{where}/{sidecar.tar} was written without digests: only its structure can be checked"
    formats = {row.ext for sidecar in sidecars for row in sidecar.samples[:1]}
    if len(formats) > 1:
        yield f"{where} mixes {', '.join(sorted(formats))}; Hugging Face datasets expects one format"
    for name in sorted(name for name in names if name.endswith(".json.next")):
        yield f"{where}/{name} was left by a killed writer; run its command again to finish the shard"
    for path in leftovers(where.path) if isinstance(where, Folder) else ():
        use = "`shards repair` finishes its shard if the tar is there; then " if ".json." in path.name else ""
        yield f"{path} was left by a killed writer; {use}it may be removed"
    if INFO in names:
        try:
            listed = listed_in_info(where)
        except CheckFailed:  # already listed as a fault
            return
        for sidecar in sidecars:
            if sidecar.n and sidecar.tar not in listed:
                yield f"{where}/{INFO} does not list {sidecar.tar}, so timm will not read it"
