"""Shards are written whole or not at all: temporary file, fsync, rename, and the sidecar last."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from shards import atomic, tar
from shards.errors import CheckFailed, UserError
from shards.images import image_size
from shards.schema import (
    IMAGE_EXTENSIONS,
    SHARED_FIELDS,
    Row,
    Sample,
    Sidecar,
    canonical_json,
    count,
    created_by,
    shard_stem,
)

#: Below this a digest costs less than handing it to a thread.
_INLINE = 32 << 10
#: Images whose digests may be under way, and writes that the digest of the tar may be behind: enough to bridge the
#: stalls of a disk.
_AHEAD = 16


class ShardWriter:
    """One shard, written as its samples come; nothing is visible before `commit`.

    Memory does not grow with the shard's bytes, and the digests are computed beside the writing.

    Parameters
    ----------
    folder
        Made if it is not there.
    name, index
        The shard will be `name-000042.tar`.
    classes
        The number in `cls` is a position in this list.
    lineage
        Ids of the real images that the generating model saw.
    fsync
        Wait until the disk has it; without, a power cut may lose a shard that was reported as written.
    digests
        Without them a damaged shard is found by its structure only.
    replace
        Take the place of a committed shard with other content; without, that is an error.
    """

    def __init__(
        self, folder: Path, name: str, index: int, *, classes: Sequence[str], plan_digest: str | None = None,
        bundle_digest: str | None = None, model_digest: str | None = None, lineage: Sequence[str] = (),
        fsync: bool = True, digests: bool = True, replace: bool = False,
    ) -> None:
        make_folder(folder)
        self.folder, self.name, self.index, self.classes = folder, name, index, list(classes)
        self.provenance: dict[str, Any] = {
            "plan_digest": plan_digest, "bundle_digest": bundle_digest, "model_digest": model_digest,
            "lineage": list(lineage),
        }
        self.fsync, self.digests, self.replace = fsync, digests, replace
        self.rows: list[Row] = []
        self.labels = {label: str(number).encode() for number, label in enumerate(self.classes)}
        self.ext, self.last_id, self.offset = "", "", 0
        self.waiting: deque[tuple[Sample, bytes, Future[str]]] = deque()
        self.digest = _StreamDigest() if digests else None
        self.pool = ThreadPoolExecutor(1) if digests else None
        stem = shard_stem(name, index)
        atomic.sweep(folder, stem)
        self.file = atomic.Pending(folder / f"{stem}.tar", fsync)

    def add(self, sample: Sample, image: bytes, ext: str) -> None:
        """Append a sample; ids must ascend, so that a shard has one order and no id twice.

        Parameters
        ----------
        image
            Encoded, in the format that `ext` ("png", "jpg" or "webp") says.
        """
        self._check(sample, ext)
        self.last_id = sample.id
        if not sample.width:
            width, height = image_size(image)
            sample = sample.model_copy(update={"width": width, "height": height})
        if self.pool is None:
            self._write(sample.model_copy(update={"image_sha256": ""}), image)
        elif len(image) < _INLINE and not self.waiting:
            self._write(sample.model_copy(update={"image_sha256": _sha256(image)}), image)
        else:
            self.waiting.append((sample, image, self.pool.submit(_sha256, image)))
            self._drain(_AHEAD)

    def commit(self) -> Sidecar:
        """Finish the tar, make it durable, give it its name, and then the sidecar.

        Raises
        ------
        CheckFailed
            The folder already holds this shard with other content (`replace` not given).
        OSError
            The disk is full; nothing under a final name was touched.
        """
        self._drain(0)
        end = tar.trailer(self.offset)
        self._append([end])
        sidecar = Sidecar(
            name=self.name, index=self.index, sha256=self.digest.hexdigest() if self.digest else "",
            bytes=self.offset, n=len(self.rows), classes=self.classes, counts=count(self.rows),
            samples=self.rows, created_by=created_by(), **self.provenance,
        )
        commit_shard(self.file, sidecar, fsync=self.fsync, replace=self.replace)
        return sidecar

    def _check(self, sample: Sample, ext: str) -> None:
        if sample.label not in self.labels:
            raise UserError(f"{sample.id} is of the class {sample.label!r}; the shard's classes are "
                            f"{', '.join(self.classes)}")
        if ext not in IMAGE_EXTENSIONS or (self.ext and ext != self.ext):
            expected = self.ext or " or ".join(IMAGE_EXTENSIONS)
            raise UserError(f"{sample.id} is a {ext!r} file; expected {expected}, the same throughout a shard")
        if sample.id <= self.last_id:
            raise UserError(f"the id {sample.id!r} comes after {self.last_id!r}; ids must ascend, each only "
                            "once: sort the samples by id")
        self.ext = ext

    def _drain(self, keep: int) -> None:
        while len(self.waiting) > keep:
            sample, image, digest = self.waiting.popleft()
            self._write(sample.model_copy(update={"image_sha256": digest.result()}), image)

    def _write(self, sample: Sample, image: bytes) -> None:
        contents = {"cls": self.labels[sample.label], "json": sample.canonical(), self.ext: image}
        start, at = self.offset, self.offset
        parts, members = [], {}
        for ext, content in sorted(contents.items()):
            parts += [tar.header(f"{sample.id}.{ext}", len(content)), content, tar.padding(len(content))]
            members[ext] = (at + tar.BLOCK, len(content))
            at += tar.BLOCK + len(content) + len(parts[-1])
        self._append(parts)
        shared = {name: getattr(sample, name) for name in SHARED_FIELDS}
        self.rows.append(Row.model_construct(**shared, offset=start, bytes=at - start, members=members))

    def _append(self, parts: list[bytes]) -> None:
        if self.digest:
            self.digest.update(parts)
        self.offset += self.file.write(parts)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None,
    ) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)
        if self.digest:
            self.digest.close()
        self.file.__exit__(kind, e, tb)


class ShardSetWriter:
    """Many samples, cut into shards of `shard_size`; `_info.json` for timm at the end.

    Use as a context manager: leaving it without an error finishes the set, an error discards the shard in
    progress. Parameters are those of `ShardWriter`.
    """

    def __init__(
        self, folder: Path, name: str, *, classes: Sequence[str], shard_size: int = 1000,
        plan_digest: str | None = None, bundle_digest: str | None = None, model_digest: str | None = None,
        lineage: Sequence[str] = (), fsync: bool = True,
    ) -> None:
        if shard_size < 1:
            raise UserError(f"a shard of {shard_size} images; expected at least 1")
        self.folder, self.name, self.classes, self.shard_size = folder, name, classes, shard_size
        self.plan_digest, self.bundle_digest, self.model_digest = plan_digest, bundle_digest, model_digest
        self.lineage, self.fsync = lineage, fsync
        self.sidecars: list[Sidecar] = []
        self.current: ShardWriter | None = None
        self.last_id = ""

    def add(self, sample: Sample, image: bytes, ext: str) -> None:
        """Append a sample; ids must ascend over the whole set."""
        if self.current is None:
            self.current = ShardWriter(
                self.folder, self.name, len(self.sidecars), classes=self.classes,
                plan_digest=self.plan_digest, bundle_digest=self.bundle_digest,
                model_digest=self.model_digest, lineage=self.lineage, fsync=self.fsync,
            )
            self.current.last_id = self.last_id
        self.current.add(sample, image, ext)
        self.last_id = sample.id
        if len(self.current.rows) + len(self.current.waiting) == self.shard_size:
            self._close()

    def finish(self) -> list[Sidecar]:
        """Commit the last shard and describe the set for timm.

        Raises
        ------
        UserError
            The folder holds more shards of this name than were written: they are of an earlier, larger set.
        """
        self._close()
        make_folder(self.folder)
        extra = [p.name for p in sorted(self.folder.glob(f"{self.name}-" + "[0-9]" * 6 + ".json"))
                 if int(p.stem[-6:]) >= len(self.sidecars)]
        if extra:
            raise UserError(f"{self.folder} also holds {extra[0]} from an earlier, larger set (this one has "
                            f"{len(self.sidecars)} shards); remove it or write to another folder")
        write_info(self.folder)
        return self.sidecars

    def _close(self) -> None:
        if self.current:
            with self.current as writer:
                self.sidecars.append(writer.commit())
            self.current = None

    def __enter__(self) -> ShardSetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()
        elif self.current:
            self.current.__exit__(kind, e, tb)


def write_shard(
    folder: Path, name: str, index: int, items: Iterable[tuple[Sample, bytes, str]], *,
    classes: Sequence[str], plan_digest: str | None = None, bundle_digest: str | None = None,
    model_digest: str | None = None, lineage: Sequence[str] = (), fsync: bool = True, digests: bool = True,
    replace: bool = False,
) -> Sidecar:
    """Write one shard from (sample, encoded image, extension), ids ascending; see `ShardWriter`."""
    with ShardWriter(
        folder, name, index, classes=classes, plan_digest=plan_digest, bundle_digest=bundle_digest,
        model_digest=model_digest, lineage=lineage, fsync=fsync, digests=digests, replace=replace,
    ) as writer:
        for sample, image, ext in items:
            writer.add(sample, image, ext)
        return writer.commit()


def commit_shard(
    file: atomic.Pending, sidecar: Sidecar, *, fsync: bool = True, replace: bool = False,
) -> None:
    """Give a finished tar and its sidecar their names, the sidecar last.

    A shard that is already there with the same bytes is left as it is. The new sidecar is complete on disk
    before the tar is renamed, so that `repair` can finish a replacement that was cut off between the two.
    """
    folder = file.final.parent
    record = folder / f"{sidecar.stem}.json"
    file.sync()
    with atomic.Pending(record, fsync) as side, atomic.locked(folder):
        side.write([sidecar.to_bytes()])
        side.sync()
        if not replace and (there := committed(record)):
            if not there.sha256 or (there.sha256, there.bytes) != (sidecar.sha256, sidecar.bytes):
                raise CheckFailed(
                    f"{file.final} is already there with other content (sha256 {there.sha256[:12]}, {there.n} "
                    f"samples; now {sidecar.sha256[:12]}, {sidecar.n}); write to another folder, or remove "
                    "the old shard and its sidecar"
                )
            return
        file.commit()
        atomic.write_whole(folder / f"{sidecar.stem}.idx", dali_index(sidecar), fsync)
        side.commit()


def committed(record: Path) -> Sidecar | None:
    """The sidecar at this path if it is whole and its tar has the size that it says; else None."""
    try:
        sidecar = Sidecar.from_bytes(record.read_bytes(), str(record))
        there = record.with_suffix(".tar").stat().st_size == sidecar.bytes
    except (FileNotFoundError, CheckFailed):
        return None
    return sidecar if there else None


def dali_index(sidecar: Sidecar) -> bytes:
    """The index that DALI's `wds2idx` writes: each sample's members as extension, offset, size and name."""
    lines = [f"v1.2 {sidecar.n}"]
    for row in sidecar.samples:
        members = sorted(row.members.items(), key=lambda member: member[1])
        lines.append(" ".join(f"{ext} {at} {size} {row.id}.{ext}" for ext, (at, size) in members))
    return "\n".join(lines).encode() + b"\n"


def write_info(folder: Path, sidecars: Sequence[Sidecar] | None = None) -> None:
    """(Re)write timm's `_info.json` from the sidecars: the shards of each split and their lengths."""
    if sidecars is None:
        paths = sorted(folder.glob("*-" + "[0-9]" * 6 + ".json"))
        sidecars = [Sidecar.from_bytes(path.read_bytes(), str(path)) for path in paths]
    splits: dict[str, list[Sidecar]] = {}
    for sidecar in (s for s in sidecars if s.n):
        names = {row.split or "train" for row in sidecar.samples}
        splits.setdefault(names.pop() if len(names) == 1 else "mixed", []).append(sidecar)
    info = {
        name: {
            "name": name, "num_samples": sum(s.n for s in members), "filenames": [s.tar for s in members],
            "shard_lengths": [s.n for s in members], "alt_label": "",
        }
        for name, members in splits.items()
    }
    atomic.write_whole(folder / "_info.json", canonical_json({"splits": info}) + b"\n")


def make_folder(folder: Path) -> None:
    """Make a folder to write to.

    Raises
    ------
    UserError
        A file is in its place, or the system does not allow it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; give another folder") from error


class _StreamDigest:
    """sha256 of a stream, a few writes behind it in a thread (hashlib releases the GIL)."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.pool = ThreadPoolExecutor(1)
        self.behind: deque[Future[None]] = deque()

    def update(self, parts: list[bytes]) -> None:
        if not self.behind and sum(map(len, parts)) < _INLINE:
            self._hash(parts)
            return
        self.behind.append(self.pool.submit(self._hash, parts))
        self._wait(_AHEAD)

    def _hash(self, parts: list[bytes]) -> None:
        for part in parts:
            self.hash.update(part)

    def _wait(self, keep: int) -> None:
        while len(self.behind) > keep:
            self.behind.popleft().result()

    def hexdigest(self) -> str:
        self._wait(0)
        return self.hash.hexdigest()

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


