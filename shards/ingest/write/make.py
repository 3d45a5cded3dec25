"""Writes real images as shards: checked, split without duplicates across splits, encoded by one codec."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dermforge.common.alike import alike
from dermforge.common.digests import digest_bytes
from dermforge.common.errors import UserError, is_of_the_machine
from dermforge.common.output_folder import claim
from shards.format.find_mark import mark_of
from shards.format.images import decode_image
from shards.format.mark import Mark, at_odds
from shards.format.schema import SPLITS
from shards.format.writer import ShardSetWriter
from shards.ingest.files.found import FoundImage, Inventory
from shards.ingest.files.naming import unique_ids
from shards.ingest.files.walk import File
from shards.ingest.near import NEAR
from shards.ingest.refuse_marked import in_words
from shards.ingest.write import missing_types
from shards.ingest.write.dedupe import families, near_pairs, perceptual_hash, split_clusters
from shards.ingest.write.encode import Encoding, write
from shards.ingest.write.hidden_names import HiddenNames
from shards.ingest.write.make_report import DROPPED, MADE, PASSED_OVER, MakeReport, write_report
from shards.storage.claim import claim_set
from shards.storage.location import is_url

#: Iterates over the items and shows the progress: the items, what is done, their number if it is known.
Track = Callable[[Iterable[Any], str, int | None], Iterable[Any]]


@dataclass
class Candidate:
    """An image that can be decoded; its bytes are read again when it is written."""

    found: FoundImage
    read: Callable[[], bytes]
    digest: str
    hash: NDArray[np.uint64]
    mark: Mark | None = None
    id: str = ""
    cluster: str = ""
    split: str = ""

    @property
    def group(self) -> str | None:
        return self.found.facts.get("group")

    @property
    def origin(self) -> str:
        return self.found.facts.get("origin") or "real"


@dataclass(frozen=True)
class Splitting:
    """How images are divided into splits.

    Attributes
    ----------
    shares
        Split -> its share of the images.
    near
        Near duplicates differ in at most so many bits of 256.
    """

    shares: Mapping[str, float]
    seed: int = 0
    near: int = NEAR


def make(
    found: Inventory,
    out: str | Path,
    splitting: Splitting,
    encoding: Encoding = Encoding(),
    *,
    shard_size: int = 1000,
    hidden: HiddenNames | None = None,
    track: Track = lambda items, what, total: items,
) -> MakeReport:
    """Write OUT/train, OUT/validation and OUT/test; `out` is a folder or an fsspec address.

    Images with the same pixels are kept once; if their classes differ, all of them are dropped. Near duplicates and
    images of one patient share a cluster, and a cluster stays in one split. Splits that the data names are kept;
    where a cluster would cross them, its images outside the test or validation split are dropped.

    Parameters
    ----------
    hidden
        Makes the ids and clusters; what names photographs then goes into its private folder and not into `out`.
    track
        Wraps the loops over the images, for a progress display.
    """
    report = MakeReport()
    if not is_url(out):
        claim(out, "a set that shards make wrote", [MADE], [*SPLITS, DROPPED, PASSED_OVER])
    for split in SPLITS:
        claim_set(_under(out, split), split)
    with tempfile.TemporaryFile() as scratch:
        kept = decodable(track(found, "reading", None), report, scratch)
        _refuse_marked(kept)
        kept = without_copies(kept, report)
        report.close(found)
        if unknown := missing_types.warning([c.found.facts["class"] for c in kept], [c.group for c in kept]):
            report.notes.append(unknown)
        report.notes += _alike(kept)
        if not kept:
            raise UserError(report.why_nothing)
        kept = _split(_in_families(kept, splitting.near, report), splitting, report)
        if hidden:
            _hide(kept, hidden)
        classes = sorted({c.found.facts["class"] for c in kept})
        for split in SPLITS:
            mine = sorted((c for c in kept if c.split == split), key=lambda c: c.id)
            if mine:
                with ShardSetWriter(_under(out, split), split, classes=classes, shard_size=shard_size) as writer:
                    for candidate in track(mine, f"writing {split}", len(mine)):
                        write(writer, candidate, encoding)
                report.written[split] = len(mine)
    write_report(report, out, hidden.folder if hidden else out)
    return report


def decodable(found: Iterable[FoundImage], report: MakeReport, scratch: BinaryIO) -> list[Candidate]:
    """The images that have a class and can be decoded; the others are dropped with the reason."""
    kept = []
    for one in found:
        report.files += one.data is not None
        report.rows_without_image += one.data is None
        if one.problem:
            report.dropped.append((one.listed_as, one.problem))
            continue
        read = _reader(one, scratch)
        try:
            data = read()
            pixels = decode_image(data)
        except (OSError, ValueError) as error:
            if is_of_the_machine(error):
                raise
            report.dropped.append((one.listed_as, f"not readable: {error}"))
            continue
        if not one.facts.get("class"):
            report.dropped.append((one.listed_as, "has no class"))
        elif one.facts.get("split") not in (None, *SPLITS):
            report.dropped.append((one.listed_as, f"split {one.facts['split']!r} is not one of {', '.join(SPLITS)}"))
        else:
            digest = digest_bytes(str(pixels.shape).encode() + pixels.tobytes())
            kept.append(Candidate(one, read, digest, perceptual_hash(pixels), mark_of(data)))
    return kept


def _refuse_marked(kept: Sequence[Candidate]) -> None:
    if found := {c.found.listed_as: word for c in kept if (word := at_odds(c.origin, c.mark))}:
        raise UserError(
            f"{in_words(found, len(kept))}, and this is a set of real images; leave them out (--exclude), or make a "
            "set of its own of them (--origin synthetic)"
        )


def without_copies(candidates: list[Candidate], report: MakeReport) -> list[Candidate]:
    """Of images with the same pixels the first; none where they are of several classes."""
    same: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        same.setdefault(candidate.digest, []).append(candidate)
    kept = []
    for copies in same.values():
        labels = sorted({c.found.facts["class"] for c in copies})
        if len(labels) > 1:
            report.dropped += [(c.found.listed_as, f"same pixels under {' and '.join(labels)}") for c in copies]
            continue
        first = min(copies, key=lambda c: -SPLITS.index(c.found.facts.get("split") or "train"))
        kept.append(first)
        report.dropped += [
            (c.found.listed_as, f"same pixels as {first.found.listed_as}") for c in copies if c is not first
        ]
    return kept


def _alike(kept: Sequence[Candidate]) -> list[str]:
    """Classes and skin types that differ in case and spaces only, in words."""
    words = {"classes": {c.found.facts["class"] for c in kept}, "skin types": {c.group for c in kept if c.group}}
    return [
        f"{pair[0]!r} and {pair[1]!r} are taken for two {what}; if they are one, write them alike"
        for what, found in words.items()
        if (pair := alike(found))
    ]


def with_ids(kept: list[Candidate]) -> list[Candidate]:
    """The images, each with an id made of its name."""
    ids = unique_ids([c.found.name for c in kept], [c.found.listed_as for c in kept])
    for candidate, one in zip(kept, ids, strict=True):
        candidate.id = one
    return kept


def _in_families(kept: list[Candidate], near: int, report: MakeReport) -> list[Candidate]:
    pairs = near_pairs(np.stack([c.hash for c in kept]), near)
    with_ids(kept)
    clusters = families([c.id for c in kept], [c.found.facts.get("cluster") for c in kept], pairs)
    for candidate, cluster in zip(kept, clusters, strict=True):
        candidate.cluster = cluster
    report.near_duplicates, report.clusters = len(pairs), len(set(clusters))
    return kept


def _split(kept: list[Candidate], splitting: Splitting, report: MakeReport) -> list[Candidate]:
    given: dict[str, set[str]] = {}
    for c in kept:
        if c.found.facts.get("split"):
            given.setdefault(c.cluster, set()).add(c.found.facts["split"])
    fixed = {cluster: max(splits, key=SPLITS.index) for cluster, splits in given.items()}
    free = [c for c in kept if c.cluster not in fixed]
    report.named = len(kept) - len(free)
    strata = [f"{c.found.facts['class']}\0{c.group}" for c in free]
    splits = split_clusters([c.cluster for c in free], strata, splitting.shares, splitting.seed)
    for candidate, split in zip(free, splits, strict=True):
        candidate.split = split
    result = list(free)
    for c in (c for c in kept if c.cluster in fixed):
        c.split = fixed[c.cluster]
        if c.found.facts.get("split") in (None, c.split):
            result.append(c)
        else:
            report.dropped.append((c.found.listed_as, f"its duplicate or patient {c.cluster} is in {c.split}"))
    return result


def _reader(one: FoundImage, scratch: BinaryIO) -> Callable[[], bytes]:
    """A function that reads the image again. Bytes from an archive are put on disk, so that memory stays small."""
    if isinstance(one.data, File):
        return one.data.read
    data = one.data or b""
    at, size = scratch.seek(0, os.SEEK_END), len(data)
    scratch.write(data)
    one.data = b""

    def read() -> bytes:
        scratch.seek(at)
        return scratch.read(size)

    return read


def _hide(kept: list[Candidate], hidden: HiddenNames) -> None:
    """Replace ids and clusters, after the split: it is the same with and without."""
    hidden.record((c.found.name, hidden(c.id)) for c in kept)
    hidden.record((c.cluster, hidden(c.cluster)) for c in kept)
    for c in kept:
        c.id, c.cluster = hidden(c.id), hidden(c.cluster)


def _under(out: str | Path, split: str) -> str | Path:
    return f"{str(out).rstrip('/')}/{split}" if is_url(out) else Path(out) / split
