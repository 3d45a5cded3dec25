"""Repair of damaged shards: whole samples are saved into new shards, lost ones are listed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import CheckFailed, MemoryShort, UserError
from dermforge.common.output_folder import claim, claim_names
from shards.format import tar
from shards.format.commit_local import finish_commits
from shards.format.images import decode_image
from shards.format.interop import write_info
from shards.format.provenance import Provenance
from shards.format.record import canonical_json
from shards.format.schema import IMAGE_EXTENSIONS, SHARD, Sample, Sidecar
from shards.format.unpack import record_fault
from shards.format.withdrawn import Withdrawn
from shards.format.writer import write_shard
from shards.storage.claim import claim_set
from shards.storage.location import Storage, address, create_storage, is_url, open_storage
from shards.storage.turn import LOCKS, turn
from shards.tools.verify import check_deeply

#: What was saved, and what was lost: by this a folder of saved images is known.
RECORD = "_repaired.json"


@dataclass(frozen=True)
class Repair:
    """What was saved from one damaged shard.

    Attributes
    ----------
    lost
        Ids that the sidecar lists and that could not be saved; None where there is no sidecar.
    unchecked
        How many saved images no sidecar vouches for by a digest: they can be read, but what is said of them, or where
        they have no digest in their JSON the pixels too, may have changed.
    """

    shard: str
    saved: int
    lost: list[str] | None
    unchecked: int = 0


def repair(location: str | Path, out: str | Path, classes: Sequence[str] = ()) -> list[Repair]:
    """Save the whole samples of every damaged shard into new shards in `out`; the old shards are not changed.

    Images that were withdrawn from the set are not saved; the records of that go along.

    Parameters
    ----------
    location, out
        Folders or fsspec addresses.
    classes
        The class names by number, needed where no sidecar is left.
    """
    if _same(location, out):
        raise UserError(f"{out} is the folder of the damaged shards; give another one, so that nothing is overwritten")
    where = open_storage(location)
    _claim(out, where.names())
    finish_commits(location)
    names = where.names()
    tars = sorted(name for name in names if SHARD.match(name) and name.endswith(".tar"))
    sidecars = {
        name: _readable_sidecar(where, f"{name[:-4]}.json") if f"{name[:-4]}.json" in names else None for name in tars
    }
    known = next((s.classes for s in sidecars.values() if s), list(classes))
    damaged = {name: sidecar for name, sidecar in sidecars.items() if not _is_whole(where, name, sidecar)}
    if not damaged:
        for fault in Withdrawn.of(where).faults(where, [sidecar for sidecar in sidecars.values() if sidecar]):
            raise CheckFailed(fault)
        return []
    create_storage(out)
    with turn(out):
        _claim(out, names)  # another process may have begun a set meanwhile
        return _save(where, damaged, out, known)


def _is_whole(where: Storage, name: str, sidecar: Sidecar | None) -> bool:
    if sidecar is None:
        return False
    with where.open(name) as file:
        return not check_deeply(file, sidecar, f"{where}/{name}")


def _save(where: Storage, damaged: dict[str, Sidecar | None], out: str | Path, known: Sequence[str]) -> list[Repair]:
    """Save what is whole of damaged shards."""
    withdrawn, target = Withdrawn.of(where), open_storage(out)
    results: list[Repair] = []
    for name, sidecar in damaged.items():
        with where.open(name) as file:
            whole = salvage(file.read(), known, sidecar)
        gone = withdrawn.among([sample for sample, _, _ in whole])
        saved = [one for one in whole if one[0].id not in gone]
        if saved:
            _record(target, results)  # first: by it the folder is known after an interruption
            withdrawn.copy_to(target)
            _write(out, name, saved, sidecar, known)
        kept = {sample.id for sample, _, _ in saved}
        kept |= set(withdrawn.among(sidecar.samples)) if sidecar else set()  # these are not lost
        lost = [row.id for row in sidecar.samples if row.id not in kept] if sidecar else None
        vouched = {row.id for row in sidecar.samples if row.record_sha256} if sidecar else set()
        results.append(Repair(name, len(saved), lost, len({sample.id for sample, _, _ in saved} - vouched)))
    write_info(target)
    _record(target, results)
    return results


def _claim(out: str | Path, damaged: Iterable[str]) -> None:
    """Refuse a place that is not of saved images, or of those of shards with other names than the damaged ones."""
    claim_set(out, sorted({name.rsplit("-", 1)[0] for name in damaged if SHARD.match(name)}), [RECORD])
    if is_url(out):
        claim_names(out, open_storage(out).names(missing_ok=True), "a set of saved images", [RECORD], [LOCKS])
    else:
        claim(out, "a set of saved images", [RECORD])


def _record(target: Storage, results: Sequence[Repair]) -> None:
    report = {r.shard: {"saved": r.saved, "lost": r.lost, "unchecked": r.unchecked} for r in results}
    target.write(RECORD, canonical_json(report) + b"\n")


def _write(
    out: str | Path,
    name: str,
    saved: Sequence[tuple[Sample, bytes, str]],
    sidecar: Sidecar | None,
    known: Sequence[str],
) -> None:
    stem, index = name[:-4].rsplit("-", 1)
    labels = sidecar.classes if sidecar else known or sorted({sample.label for sample, _, _ in saved})
    write_shard(
        out,
        stem,
        int(index),
        saved,
        classes=labels,
        provenance=sidecar.provenance if sidecar else _provenance([sample for sample, _, _ in saved]),
    )


def _same(one: str | Path, other: str | Path) -> bool:
    if is_url(one) or is_url(other):
        return address(one).rstrip("/") == address(other).rstrip("/")
    return Path(one).resolve() == Path(other).resolve()


def salvage(
    archive: bytes, classes: Sequence[str] = (), sidecar: Sidecar | None = None
) -> list[tuple[Sample, bytes, str]]:
    """The whole samples of a damaged tar, in order of their ids.

    Every block may hold a header, so damage costs only the samples that it touches. A sample is whole if its three
    members are there, its image has the digest in its JSON (if there is one) and can be decoded, the number in `cls`
    is that of its class (if `classes` are known), and its JSON is what the sidecar says (if there is one).

    Raises
    ------
    MemoryShort
        An image asks for more memory than there is. It may be whole, so that none is dropped for it.
    """
    members = _members(archive)
    rows = {row.id: row for row in sidecar.samples} if sidecar else {}
    found: dict[str, tuple[Sample, bytes, str]] = {}
    for key, parts in members.items():
        image_ext = next((ext for ext in IMAGE_EXTENSIONS if ext in parts), None)
        if image_ext is None or not {"cls", "json"} < set(parts):
            continue
        image = parts[image_ext]
        try:
            sample = Sample.model_validate_json(parts["json"])
            decode_image(image)
        except MemoryShort as error:
            raise MemoryShort(f"{key}: {error}") from error
        except (ValidationError, UserError):
            continue
        whole = sample.id == key and sample.image_sha256 in ("", digest_bytes(image))
        agrees = not classes or (sample.label in classes and parts["cls"] == str(classes.index(sample.label)).encode())
        if sidecar:
            agrees &= key in rows and record_fault(sample, parts["json"], rows[key]) is None
        if whole and agrees:
            found[key] = (sample, image, image_ext)
    formats = [ext for _, _, ext in found.values()]
    common = max(set(formats), key=formats.count) if formats else ""
    return [found[key] for key in sorted(found) if found[key][2] == common]


def _members(archive: bytes) -> dict[str, dict[str, bytes]]:
    members: dict[str, dict[str, bytes]] = {}
    at = 0
    while at + tar.BLOCK <= len(archive):
        parsed = tar.parse(archive[at : at + tar.BLOCK])
        if parsed is None or at + tar.BLOCK + parsed[1] > len(archive):
            at += tar.BLOCK
            continue
        name, size = parsed
        key, _, ext = name.partition(".")
        start = at + tar.BLOCK
        members.setdefault(key, {}).setdefault(ext, archive[start : start + size])
        at = start + size + len(tar.padding(size))
    return members


def _readable_sidecar(where: Storage, record: str) -> Sidecar | None:
    try:
        return Sidecar.from_bytes(where.read(record), f"{where}/{record}")
    except CheckFailed:
        return None


def _provenance(samples: Sequence[Sample]) -> Provenance:
    """The digests that all samples share."""
    return Provenance(
        _shared(s.plan_digest for s in samples),
        _shared(s.bundle_digest for s in samples),
        _shared(s.model_digest for s in samples),
    )


def _shared(values: Iterable[str | None]) -> str | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None
