"""Withdrawn images: the records of purges, which belong to a set as its shards do.

From the moment a record `_purged.ID.json` is written, no image that it names and none that is made from one is written
to its folder or bucket, and a shard that still holds one is refused by every reader. `_info.json` and the sidecars that
are written afterwards name the withdrawn image too: without its record the set is refused.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dermforge.common.command_line import typed
from dermforge.common.errors import CheckFailed
from shards.format.interop import INFO, withdrawn_in
from shards.format.record import DIGEST_PATTERN, NO_DIGEST, canonical_json, sign
from shards.format.schema import ID_PATTERN, SHARD, Sidecar
from shards.storage.claim import WITHDRAWN
from shards.storage.location import Storage


class _Image(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def parent(self) -> str | None: ...


class Withdrawal(BaseModel):
    """`_purged.ID.json`: one real image that was withdrawn, and what had been made from it.

    Attributes
    ----------
    at
        When it was withdrawn, in UTC.
    removed
        Tar -> ids of the images that it held.
    still_tuned_on_it
        Tars of a model that was trained on the image; a purge does not remove those.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(default="", pattern=DIGEST_PATTERN)  # records of the first development versions have none
    parent: str = Field(pattern=ID_PATTERN)
    signed_off_by: str
    at: str
    removed: dict[str, list[str]] = {}
    still_tuned_on_it: list[str] = []

    @property
    def name(self) -> str:
        return f"_purged.{self.parent}.json"

    @property
    def ids(self) -> set[str]:
        return {self.parent}.union(*self.removed.values())

    def to_bytes(self) -> bytes:
        """The file's content, with its own digest filled in."""
        return sign(canonical_json(self.model_dump() | {"digest": NO_DIGEST}) + b"\n")

    @classmethod
    def from_bytes(cls, content: bytes, source: str) -> Withdrawal:
        """Read and check a record.

        Raises
        ------
        CheckFailed
            The file is damaged; `source` names it.
        """
        try:
            record = cls.model_validate_json(content)
        except ValidationError as error:
            raise CheckFailed(f"{source} is damaged ({error.errors()[0]['msg']}); {_REMEDY}") from error
        if record.digest and sign(content.replace(record.digest.encode(), NO_DIGEST.encode(), 1)) != content:
            raise CheckFailed(f"{source} was changed after it was written; {_REMEDY}")
        return record


_REMEDY = "it says what was withdrawn: put it back from a copy, or remove it and run `shards purge` again for its id"


class Withdrawn:
    """All that was withdrawn from a set."""

    def __init__(self, records: Iterable[Withdrawal] = ()) -> None:
        self.records = list(records)
        #: Id -> the withdrawn real image for which it was removed.
        self.reason = {key: record.parent for record in self.records for key in sorted(record.ids)}

    @classmethod
    def of(cls, where: Storage, names: Collection[str] | None = None, purging: str | None = None) -> Withdrawn:
        """Read the records of a folder or bucket.

        Parameters
        ----------
        names
            The names of its files, if they are known.
        purging
            The real image whose record is about to be written, and may be missing.

        Raises
        ------
        CheckFailed
            A record is damaged, or one that `_info.json` knows is missing.
        """
        names = where.names(missing_ok=True) if names is None else names
        found = sorted(fnmatch.filter(names, WITHDRAWN))
        made = cls(Withdrawal.from_bytes(where.read(name), f"{where}/{name}") for name in found)
        known = withdrawn_in(where.read(INFO), f"{where}/{INFO}") if INFO in names else set()
        for fault in made._missing(where, INFO, known - {purging}):
            raise CheckFailed(fault)
        return made

    @classmethod
    def remembered(cls, where: Storage) -> Withdrawn:
        """`of`, with every sidecar asked too: before shards go or are made again, and with them what they remember.

        Raises
        ------
        CheckFailed
            As `of`, or a record that a sidecar knows is missing.
        """
        names = where.names(missing_ok=True)
        made = cls.of(where, names)
        sidecars = sorted(name for name in names if SHARD.match(name) and name.endswith(".json"))
        with ThreadPoolExecutor(8) as pool:
            contents = list(pool.map(where.read, sidecars))
        for name, content in zip(sidecars, contents, strict=True):
            for fault in made._missing(where, name, withdrawn_in(content, f"{where}/{name}")):
                raise CheckFailed(fault)
        return made

    def _missing(self, where: object, source: str, known: Iterable[str]) -> Iterator[str]:
        """Records that some file knows and that are not there."""
        for parent in sorted(set(known) - {record.parent for record in self.records}):
            yield (
                f"{where}/{source} says that {parent} was withdrawn, and the record _purged.{parent}.json is missing; "
                f"put it back from a copy, or withdraw it again: " + typed("shards", "purge", where, "--parent", parent)
            )

    def holds(self, id: str, parent: str | None) -> bool:
        """Whether the image, or the one that it was made from, is withdrawn."""
        return id in self.reason or parent in self.reason

    def among(self, images: Sequence[_Image]) -> dict[str, str]:
        """Id of each withdrawn image -> the real image for which it is; also of what was made from these in turn."""
        found: dict[str, str] = {}
        while True:
            known = self.reason | found
            new = {
                image.id: known[image.id if image.id in known else str(image.parent)]
                for image in images
                if image.id not in found and (image.id in known or image.parent in known)
            }
            if not new:
                return found
            found |= new

    def faults(self, where: object, sidecars: Iterable[Sidecar]) -> Iterator[str]:
        """Shards that still hold withdrawn images (a purge was stopped, or an old copy put back), and lost records."""
        for sidecar in sidecars:
            yield from self._missing(where, f"{sidecar.stem}.json", sidecar.withdrawn)
            if held := self.among(sidecar.samples):
                first = min(held)
                yield (
                    f"{where}/{sidecar.tar} still holds {len(held)} of the withdrawn images, as {first}; finish with "
                    + typed("shards", "purge", where, "--parent", held[first])
                )

    def accepted(self, where: object, sidecar: Sidecar) -> Sidecar:
        """The sidecar of a shard that is about to be committed, in which it says what was withdrawn by then.

        Raises
        ------
        CheckFailed
            The shard holds a withdrawn image; names it and the record.
        """
        if self.records and (held := self.among(sidecar.samples)):
            first = min(held)
            raise CheckFailed(
                f"{sidecar.tar} holds {first}, which was withdrawn from {where} (_purged.{held[first]}.json), and "
                f"{len(held) - 1} more; nothing was written: leave them out, or run the same command again if the "
                "purge came in between"
            )
        return sidecar.model_copy(update={"withdrawn": sorted({record.parent for record in self.records})})

    def copy_to(self, target: Storage) -> None:
        """Write the records next to what was made from this set; records that are there already are kept."""
        there = Withdrawn.of(target)
        for record in self.records:
            target.write(record.name, merged(record, there.records).to_bytes())


def merged(record: Withdrawal, others: Iterable[Withdrawal]) -> Withdrawal:
    """A record with what others say of the same image; who signed first stays."""
    for other in others:
        if other.parent == record.parent:
            removed = {
                tar: sorted({*other.removed.get(tar, ()), *record.removed.get(tar, ())})
                for tar in other.removed | record.removed
            }
            tuned = sorted({*other.still_tuned_on_it, *record.still_tuned_on_it})
            record = other.model_copy(update={"removed": removed, "still_tuned_on_it": tuned})
    return record
