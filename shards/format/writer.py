"""Writing of shards, whole or not at all: a temporary file, fsync, rename, and the sidecar last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from dermforge.common import atomic
from dermforge.common.digests import AHEAD, INLINE, StreamDigest, digest_bytes
from dermforge.common.errors import UserError
from shards.format import tar
from shards.format.commit_local import commit_shard, finish_commits
from shards.format.find_mark import mark_of
from shards.format.images import image_size
from shards.format.interop import write_info
from shards.format.mark import at_odds
from shards.format.provenance import Provenance
from shards.format.schema import (
    IMAGE_EXTENSIONS,
    SHARD,
    ImageFacts,
    Sample,
    Sidecar,
    SidecarRow,
    count,
    created_by,
    shard_stem,
)
from shards.storage.location import create_storage, is_url, make_folder
from shards.storage.staging import Staging


class ShardWriter:
    """One shard, written sample by sample; nothing is visible before `commit`.

    Memory does not grow with the size of the shard. Digests are computed in threads, in parallel with the writing.

    Parameters
    ----------
    folder
        Created if it does not exist.
    name, index
        The shard will be `name-000042.tar`.
    classes
        The number in a `cls` member is a position in this list.
    digests
        Compute digests. Without them, damage is found only where it breaks the structure of the shard.
    replace
        Replace a committed shard that has other content. Otherwise that is an error.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        index: int,
        *,
        classes: Sequence[str],
        provenance: Provenance = Provenance(),
        digests: bool = True,
        replace: bool = False,
    ) -> None:
        stem = shard_stem(name, index)
        make_folder(folder)
        self.name, self.index, self.classes, self.provenance = name, index, list(classes), provenance
        self.digests, self.replace = digests, replace
        self.rows: list[SidecarRow] = []
        self.labels = {label: str(number).encode() for number, label in enumerate(self.classes)}
        self.ext, self.last_id, self.offset = "", "", 0
        self.waiting: deque[tuple[Sample, bytes, Future[str]]] = deque()
        self.digest = StreamDigest() if digests else None
        self.pool = ThreadPoolExecutor(1) if digests else None
        finish_commits(folder)  # else the sweep would take the sidecar of a commit that was interrupted
        atomic.sweep(folder, stem)
        self.file = atomic.Pending(folder / f"{stem}.tar")

    def add(self, sample: Sample, image: bytes, ext: str) -> None:
        """Append a sample. Ids must ascend, so that a shard has one order and every id once.

        Parameters
        ----------
        image
            Encoded, in the format `ext`: "png", "jpg" or "webp".
        """
        self._check(sample, ext)
        if sample.origin != "synthetic" and (word := at_odds(sample.origin, mark_of(image))):
            raise UserError(f"{sample.id} is marked as {word}, not as {sample.origin}; leave it out, or say synthetic")
        self.last_id = sample.id
        if not sample.width:
            width, height = image_size(image)
            sample = sample.model_copy(update={"width": width, "height": height})
        if self.pool is None:
            self._write(sample.model_copy(update={"image_sha256": ""}), image)
        elif len(image) < INLINE and not self.waiting:
            self._write(sample.model_copy(update={"image_sha256": digest_bytes(image)}), image)
        else:
            self.waiting.append((sample, image, self.pool.submit(digest_bytes, image)))
            self._drain(AHEAD)

    def commit(self) -> Sidecar:
        """Finish the tar, make it durable and give it its name; then the same for the sidecar.

        Raises
        ------
        CheckFailed
            The folder already holds this shard with other content, and `replace` is False.
        OSError
            The disk is full. No committed file was touched.
        """
        self._drain(0)
        self._append([tar.trailer(self.offset)])
        sidecar = Sidecar(
            name=self.name,
            index=self.index,
            sha256=self.digest.hexdigest() if self.digest else "",
            bytes=self.offset,
            n=len(self.rows),
            classes=self.classes,
            counts=count(self.rows),
            samples=self.rows,
            created_by=created_by(),
            **asdict(self.provenance),
        )
        return commit_shard(self.file, sidecar, replace=self.replace)

    def _check(self, sample: Sample, ext: str) -> None:
        if sample.label not in self.labels:
            raise UserError(
                f"{sample.id} is of the class {sample.label!r}; the shard's classes are {', '.join(self.classes)}"
            )
        if ext not in IMAGE_EXTENSIONS or (self.ext and ext != self.ext):
            expected = self.ext or " or ".join(IMAGE_EXTENSIONS)
            raise UserError(f"{sample.id} is a {ext!r} file; expected {expected}, the same throughout a shard")
        if sample.id <= self.last_id:
            raise UserError(
                f"the id {sample.id!r} comes after {self.last_id!r}; ids must ascend, each only "
                "once: sort the samples by id"
            )
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
        shared = {name: getattr(sample, name) for name in ImageFacts.model_fields}
        digest = digest_bytes(contents["json"]) if self.digest else ""
        self.rows.append(
            SidecarRow.model_construct(**shared, offset=start, bytes=at - start, members=members, record_sha256=digest)
        )

    def _append(self, parts: list[bytes]) -> None:
        if self.digest:
            self.digest.update(parts)
        self.offset += self.file.write(parts)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)
        if self.digest:
            self.digest.close()
        self.file.__exit__(kind, e, tb)


class ShardSetWriter:
    """Many samples, cut into shards of `shard_size`; `_info.json` for timm at the end.

    A context manager: leaving it finishes the set; leaving it with an error discards the shard in progress.
    `location` is a folder or an fsspec address; the other parameters are those of `ShardWriter`.
    """

    def __init__(
        self,
        location: str | Path,
        name: str,
        *,
        classes: Sequence[str],
        shard_size: int = 1000,
        provenance: Provenance = Provenance(),
    ) -> None:
        if shard_size < 1:
            raise UserError(f"a shard of {shard_size} images; expected at least 1")
        self.location, self.name, self.classes, self.shard_size = location, name, classes, shard_size
        self.provenance = provenance
        self.staging = Staging() if is_url(location) else None
        self.folder = self.staging.path if self.staging else Path(location)
        self.sidecars: list[Sidecar] = []
        self.current: ShardWriter | None = None
        self.last_id = ""

    def add(self, sample: Sample, image: bytes, ext: str) -> None:
        """Append a sample; ids must ascend over the whole set."""
        if self.current is None:
            number = len(self.sidecars)
            self.current = ShardWriter(self.folder, self.name, number, classes=self.classes, provenance=self.provenance)
            self.current.last_id = self.last_id
        self.current.add(sample, image, ext)
        self.last_id = sample.id
        if len(self.current.rows) + len(self.current.waiting) == self.shard_size:
            self._close()

    def finish(self) -> list[Sidecar]:
        """Commit the last shard and describe the set for timm; errors as `finish_set`."""
        self._close()
        finish_set(self.location, self.name, len(self.sidecars))
        return self.sidecars

    def _close(self) -> None:
        if self.current:
            with self.current as writer:
                self.sidecars.append(writer.commit())
            self.current = None
            if self.staging:
                self.sidecars[-1] = _send(self.staging, str(self.location), self.sidecars[-1])

    def __enter__(self) -> ShardSetWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is None:
                self.finish()
            elif self.current:
                self.current.__exit__(kind, e, tb)
        finally:
            if self.staging:
                self.staging.close()


def finish_set(location: str | Path, name: str, n_shards: int) -> None:
    """Write `_info.json` for timm, once the last shard of a set is written.

    Raises
    ------
    UserError
        The folder holds more shards of this name than were written; they belong to an earlier, larger set.
    """
    where = create_storage(location)
    for other in sorted(where.names()):
        if SHARD.match(other) and other.endswith(".json") and other[:-12] == name and int(other[-11:-5]) >= n_shards:
            raise UserError(
                f"{where} also holds {other} from an earlier, larger set (this one has {n_shards} shards); "
                "remove it or write to another folder"
            )
    write_info(where)


def write_shard(
    location: str | Path,
    name: str,
    index: int,
    items: Iterable[tuple[Sample, bytes, str]],
    *,
    classes: Sequence[str],
    provenance: Provenance = Provenance(),
    digests: bool = True,
    replace: bool = False,
) -> Sidecar:
    """Write one shard from (sample, encoded image, extension), ids ascending; see `ShardWriter`.

    For an fsspec address the shard is staged in a local folder, uploaded and checked, the sidecar last.
    """
    staging = Staging() if is_url(location) else None
    folder = staging.path if staging else Path(location)
    with (
        staging or nullcontext(),
        ShardWriter(
            folder, name, index, classes=classes, provenance=provenance, digests=digests, replace=replace
        ) as writer,
    ):
        for sample, image, ext in items:
            writer.add(sample, image, ext)
        sidecar = writer.commit()
        return _send(staging, str(location), sidecar, replace) if staging else sidecar


def _send(staging: Staging, url: str, sidecar: Sidecar, replace: bool = False) -> Sidecar:
    from shards.format.commit_bucket import upload

    sent = upload(staging.path, url, sidecar, replace)
    staging.empty()
    return sent
