"""Writes real images as shards: checked, split without duplicates across splits, encoded by one codec."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import ValidationError

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim
from shards.format.images import decode_image, encode_image
from shards.format.schema import SPLITS, Sample, canonical_json
from shards.format.writer import ShardSetWriter
from shards.ingest.dedupe import NEAR, families, near_pairs, perceptual_hash, split_clusters
from shards.ingest.hidden_names import HiddenNames
from shards.ingest.importing import FoundImage
from shards.ingest.naming import unique_ids
from shards.storage.claim import claim_set
from shards.storage.location import create_storage, is_url

#: What is written next to the splits: the images left out, and a summary.
DROPPED, MADE = "_dropped.csv", "_made.json"

#: Iterates over the items and shows the progress: the items, what is done, their number if it is known.
Track = Callable[[Iterable[Any], str, int | None], Iterable[Any]]


@dataclass
class Candidate:
    """An image that can be decoded; its bytes are read again when it is written."""

    found: FoundImage
    read: Callable[[], bytes]
    digest: str
    hash: NDArray[np.uint64]
    id: str = ""
    cluster: str = ""
    split: str = ""


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


@dataclass(frozen=True)
class Encoding:
    """How images are encoded.

    Attributes
    ----------
    size
        Shorter edge in pixels; larger images are reduced with antialiasing, none is enlarged.
    quality
        Of JPEG and WebP, 1 to 100.
    """

    size: int | None = None
    fmt: str = "png"
    quality: int = 95


@dataclass
class MakeReport:
    """What was written, what was left out and why (name, reason), and of how many images the data named the split."""

    written: dict[str, int] = field(default_factory=dict)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    near_duplicates: int = 0
    clusters: int = 0
    named: int = 0


def make(
    found: Iterable[FoundImage],
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
        claim(out, "a set that shards make wrote", [DROPPED, MADE], SPLITS)
    for split in SPLITS:
        claim_set(_under(out, split))
    with tempfile.TemporaryFile() as scratch:
        kept = _without_copies(_decodable(track(found, "reading", None), report, scratch), report)
        if not kept:
            raise UserError("no image is left to write; " + "; ".join(f"{n}: {why}" for n, why in report.dropped[:3]))
        kept = _split(_in_families(kept, splitting.near, report), splitting, report)
        if hidden:
            _hide(kept, hidden)
        classes = sorted({c.found.facts["class"] for c in kept})
        for split in SPLITS:
            mine = sorted((c for c in kept if c.split == split), key=lambda c: c.id)
            if mine:
                with ShardSetWriter(_under(out, split), split, classes=classes, shard_size=shard_size) as writer:
                    for candidate in track(mine, f"writing {split}", len(mine)):
                        _write(writer, candidate, encoding)
                report.written[split] = len(mine)
    _list_dropped(out, report, hidden.folder if hidden else out)
    return report


def upright(data: bytes) -> NDArray[np.uint8]:
    """Decode and rotate as the camera's EXIF says; RGB, uint8 [H, W, 3]."""
    pixels = decode_image(data)
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
        turn = image.getexif().get(0x0112, 1)
    if turn == 1:
        return pixels
    turned = Image.fromarray(pixels)
    turned.getexif()[0x0112] = turn
    return np.asarray(ImageOps.exif_transpose(turned))


def reduce(pixels: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """Reduce the shorter edge to `size` with antialiasing (Lanczos); smaller images stay as they are."""
    height, width = pixels.shape[:2]
    if size is None or min(height, width) <= size:
        return pixels
    scale = size / min(height, width)
    target = (round(width * scale), round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.LANCZOS))


def _decodable(found: Iterable[FoundImage], report: MakeReport, scratch: BinaryIO) -> list[Candidate]:
    kept = []
    for one in found:
        try:
            read = _reader(one, scratch)
            pixels = upright(read())
        except (OSError, ValueError) as error:
            report.dropped.append((one.name, f"not readable: {error}"))
            continue
        if not one.facts.get("class"):
            report.dropped.append((one.name, "has no class"))
        elif one.facts.get("split") not in (None, *SPLITS):
            report.dropped.append((one.name, f"split {one.facts['split']!r} is not one of {', '.join(SPLITS)}"))
        else:
            digest = digest_bytes(str(pixels.shape).encode() + pixels.tobytes())
            kept.append(Candidate(one, read, digest, perceptual_hash(pixels)))
    return kept


def _without_copies(candidates: list[Candidate], report: MakeReport) -> list[Candidate]:
    same: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        same.setdefault(candidate.digest, []).append(candidate)
    kept = []
    for copies in same.values():
        labels = sorted({c.found.facts["class"] for c in copies})
        if len(labels) > 1:
            report.dropped += [(c.found.name, f"same pixels under {' and '.join(labels)}") for c in copies]
            continue
        first = min(copies, key=lambda c: -SPLITS.index(c.found.facts.get("split") or "train"))
        kept.append(first)
        report.dropped += [(c.found.name, f"same pixels as {first.found.name}") for c in copies if c is not first]
    return kept


def _in_families(kept: list[Candidate], near: int, report: MakeReport) -> list[Candidate]:
    pairs = near_pairs(np.stack([c.hash for c in kept]), near)
    for candidate, one in zip(kept, unique_ids([c.found.name for c in kept]), strict=True):
        candidate.id = one
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
    strata = [f"{c.found.facts['class']}\0{c.found.facts.get('group')}" for c in free]
    splits = split_clusters([c.cluster for c in free], strata, splitting.shares, splitting.seed)
    for candidate, split in zip(free, splits, strict=True):
        candidate.split = split
    result = list(free)
    for c in (c for c in kept if c.cluster in fixed):
        c.split = fixed[c.cluster]
        if c.found.facts.get("split") in (None, c.split):
            result.append(c)
        else:
            report.dropped.append((c.found.name, f"its duplicate or patient {c.cluster} is in {c.split}"))
    return result


def _write(writer: ShardSetWriter, c: Candidate, encoding: Encoding) -> None:
    pixels = reduce(upright(c.read()), encoding.size)
    facts: dict[str, Any] = c.found.facts
    try:
        sample = Sample.model_validate(
            {
                "id": c.id,
                "origin": facts.get("origin") or "real",
                "class": facts["class"],
                "group": facts.get("group"),
                "attributes": facts["attributes"],
                "cluster": c.cluster,
                "split": c.split,
                "width": pixels.shape[1],
                "height": pixels.shape[0],
            }
        )
    except ValidationError as error:
        raise UserError(f"{c.found.name}: {error.errors()[0]['msg']}") from error
    writer.add(sample, encode_image(pixels, encoding.fmt, encoding.quality), encoding.fmt)


def _reader(one: FoundImage, scratch: BinaryIO) -> Callable[[], bytes]:
    """A function that reads the image again. Bytes from an archive are put on disk, so that memory stays small."""
    if one.problem:
        raise UserError(one.problem)
    if isinstance(one.data, Path):
        return one.data.read_bytes
    at, size = scratch.seek(0, os.SEEK_END), len(one.data)
    scratch.write(one.data)
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


def _list_dropped(out: str | Path, report: MakeReport, lists: str | Path) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerows([("name", "why"), *sorted(report.dropped)])
    summary = {
        "written": report.written,
        "dropped": len(report.dropped),
        "near_duplicates": report.near_duplicates,
        "clusters": report.clusters,
    }
    where = create_storage(out)
    create_storage(lists).write(DROPPED, text.getvalue().encode())
    where.write(MADE, canonical_json(summary) + b"\n")


def _under(out: str | Path, split: str) -> str | Path:
    return f"{str(out).rstrip('/')}/{split}" if is_url(out) else Path(out) / split
