"""Checking shards without stopping at the first fault: every one is named, with what to do."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from shards import tar
from shards.atomic import leftovers
from shards.errors import CheckFailed, UserError
from shards.images import decode_image
from shards.places import Folder, Place, place
from shards.reader import SHARD, listed_in_info, unpack
from shards.schema import Sidecar
from shards.writer import dali_index

_CHUNK = 8 << 20


@dataclass
class Verdict:
    """What a verification found.

    Attributes
    ----------
    faults
        What is wrong: file, expected, got, remedy.
    notes
        What is not wrong but worth knowing: leftovers of killed writers, shards written without digests.
    """

    shards: int = 0
    images: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(location: str | Path, deep: bool = False, workers: int | None = None,
           tick: Callable[[int], None] = lambda n: None) -> Verdict:
    """Check every shard of a folder or bucket.

    Parameters
    ----------
    deep
        Read everything: the digest of every tar, every header, every image decoded. Otherwise sidecars and sizes.
    workers
        Processes of a deep check; None takes one a core.
    tick
        Called with the number of images of each shard that is done.
    """
    where = place(location)
    names = where.names()
    records = sorted(name for name in names if SHARD.match(name) and name.endswith(".json"))
    tars = {name for name in names if SHARD.match(name) and name.endswith(".tar")}
    if not records and not tars:
        raise UserError(f"{where} holds no shards; expected name-000000.tar with name-000000.json")
    verdict = Verdict(shards=len(tars))
    sidecars = [s for name in records if (s := _sidecar(where, name, names, verdict))]
    described = {Path(name).with_suffix(".tar").name for name in records}
    for orphan in sorted(tars - described):
        verdict.faults.append(f"{where}/{orphan} has no sidecar, so it was never committed; run the command that "
                              "wrote it again, or `shards repair` it")
    _check_between(where, sidecars, verdict)
    if "_info.json" in names:
        _check_info(where, tars, verdict)
    if isinstance(where, Folder):
        verdict.notes += [f"{path} was left by a writer that was killed; it may be removed"
                          for path in leftovers(where.path)]
    verdict.images = sum(sidecar.n for sidecar in sidecars)
    if deep:
        for faults, notes, n in _deep(where, sidecars, workers):
            verdict.faults += faults
            verdict.notes += notes
            tick(n)
    return verdict


def check_deeply(path: Path, sidecar: Sidecar) -> tuple[list[str], list[str]]:
    """Faults and notes of one tar: digest, headers, digests of images, JSON, pixels, end of archive."""
    faults: list[str] = []
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        if sidecar.sha256 and digest.hexdigest() != sidecar.sha256:
            faults.append(f"{path} has the sha256 {digest.hexdigest()[:12]}, its sidecar says {sidecar.sha256[:12]}; "
                          "write the shard again, or save what is whole with `shards repair`")
        end = 0
        for row in sidecar.samples:
            end = row.offset + row.bytes
            try:
                data = os.pread(file.fileno(), row.bytes, row.offset)
                sample, image = unpack(data, row, str(path), verify=True)
                height, width = decode_image(image).shape[:2]
                at, size = row.members["cls"]
                number = data[at - row.offset : at - row.offset + size]
                if number != str(sidecar.classes.index(row.label)).encode():
                    faults.append(f"{path}: {row.id}.cls says {number!r}, the class {row.label!r} is "
                                  f"{sidecar.classes.index(row.label)}; write the shard again")
                if (width, height) != (sample.width, sample.height):
                    faults.append(f"{path}: {row.id} has {width} x {height} pixels, its JSON says {sample.width} x "
                                  f"{sample.height}; write the shard again")
            except CheckFailed as error:
                faults.append(str(error))
            except UserError as error:
                faults.append(f"{path}: {row.id}: {error}; write the shard again, or `shards repair` it")
        if os.pread(file.fileno(), tar.RECORD + 1, end) != tar.trailer(end):
            faults.append(f"{path} does not end as an archive ends after byte {end}; write the shard again, or "
                          "`shards repair` it")
    index = path.with_suffix(".idx")
    if index.exists() and index.read_bytes() != dali_index(sidecar):
        faults.append(f"{index} is not the index of {path.name}; remove it, or write the shard again")
    notes = [] if sidecar.sha256 else [f"{path} was written without digests: only its structure could be checked"]
    return faults, notes


def _deep(where: Place, sidecars: list[Sidecar], workers: int | None) -> Iterable[tuple[list[str], list[str], int]]:
    jobs = [(where, sidecar) for sidecar in sidecars]
    if len(jobs) < 2 or workers == 1:
        yield from map(_deep_one, jobs)
        return
    with ProcessPoolExecutor(min(len(jobs), workers or os.cpu_count() or 1)) as pool:
        yield from pool.map(_deep_one, jobs)


def _deep_one(job: tuple[Place, Sidecar]) -> tuple[list[str], list[str], int]:
    where, sidecar = job
    faults, notes = check_deeply(where.fetch(sidecar.tar), sidecar)
    return faults, notes, sidecar.n


def _sidecar(where: Place, name: str, names: dict[str, int], verdict: Verdict) -> Sidecar | None:
    try:
        sidecar = Sidecar.from_bytes(where.read(name), f"{where}/{name}")
    except CheckFailed as error:
        verdict.faults.append(str(error))
        return None
    if name != f"{sidecar.stem}.json":
        verdict.faults.append(f"{where}/{name} describes {sidecar.tar}; it was renamed: give it its name back")
    elif sidecar.tar not in names:
        verdict.faults.append(f"{where}/{sidecar.tar} is missing, but {name} describes it; write it again, or remove "
                              "the sidecar too")
    elif names[sidecar.tar] != sidecar.bytes:
        verdict.faults.append(f"{where}/{sidecar.tar} has {names[sidecar.tar]} bytes, its sidecar says "
                              f"{sidecar.bytes}; write the shard again, or save what is whole with `shards repair`")
    else:
        return sidecar
    return None


def _check_between(where: Place, sidecars: list[Sidecar], verdict: Verdict) -> None:
    seen: dict[str, str] = {}
    for sidecar in sidecars:
        if sidecar.classes != sidecars[0].classes:
            verdict.faults.append(f"{where}/{sidecar.tar} has the classes {', '.join(sidecar.classes)}, but "
                                  f"{sidecars[0].tar} has {', '.join(sidecars[0].classes)}; keep them in two folders")
        if sidecar.plan_digest != sidecars[0].plan_digest:
            verdict.notes.append(f"{where}/{sidecar.tar} is of another plan than {sidecars[0].tar}")
        for row in sidecar.samples:
            if row.id in seen:
                verdict.faults.append(f"the id {row.id!r} is in {seen[row.id]} and in {sidecar.tar} of {where}; every "
                                      "image once: `shards select` one of them, or write them again")
            seen[row.id] = sidecar.tar
    formats = {row.ext for sidecar in sidecars for row in sidecar.samples[:1]}
    if len(formats) > 1:
        verdict.notes.append(f"{where} mixes {', '.join(sorted(formats))}; Hugging Face datasets wants one format")


def _check_info(where: Place, tars: set[str], verdict: Verdict) -> None:
    try:
        listed = listed_in_info(where)
    except CheckFailed as error:
        verdict.faults.append(str(error))
        return
    verdict.faults += [f"{where}/{name} is missing, but _info.json lists it; write it again, or remove _info.json if "
                       "the shard went on purpose" for name in sorted(listed - tars)]
    verdict.notes += [f"{where}/_info.json does not list {name}, so timm will not read it"
                      for name in sorted(tars - listed)]
