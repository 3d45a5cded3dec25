"""Writes the images of any generator as a synthetic set: a GAN's folder, another tool's tars, a set of the Hub."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dermforge.common.errors import UserError
from shards.format.provenance import Provenance
from shards.format.writer import ShardSetWriter
from shards.ingest.files.found import Inventory
from shards.ingest.files.naming import id_of
from shards.ingest.tables.join import without_suffix
from shards.ingest.write.encode import Encoding, write
from shards.ingest.write.make import Track, decodable, with_ids, without_copies
from shards.ingest.write.make_report import RECORDS, MakeReport, write_report
from shards.storage.claim import claim_set


@dataclass(frozen=True)
class Generator:
    """What made the images.

    Attributes
    ----------
    name
        Such as stylegan3: each image keeps it as the attribute `generator`, and as its strategy where it has none.
    lineage
        Ids of the real images that it was trained on, for the guard against leaks.
    """

    name: str
    lineage: tuple[str, ...]


def make_synthetic(
    found: Inventory,
    out: str | Path,
    generator: Generator,
    encoding: Encoding = Encoding(),
    *,
    shard_size: int = 1000,
    track: Track = lambda items, what, total: items,
) -> MakeReport:
    """Write one set of synthetic shards to `out`, a folder or an fsspec address; nothing is split.

    Images with the same pixels are kept once; if their classes differ, all of them are dropped. Each image is marked as
    synthetic, or keeps the mark that it has.

    Raises
    ------
    UserError
        No image is left, or `out` holds something else.
    """
    report = MakeReport()
    claim_set(out, "synthetic", RECORDS)
    with tempfile.TemporaryFile() as scratch:
        kept = without_copies(decodable(track(found, "reading", None), report, scratch), report)
        report.close(found)
        if not kept:
            raise UserError(report.why_nothing)
        for one in with_ids(kept):
            facts = one.found.facts
            facts["origin"], facts["split"] = "synthetic", None
            facts["attributes"] = {**facts["attributes"], "generator": generator.name}
            facts["parent"] = facts["attributes"].pop("parent", None)
            facts["strategy"] = facts["attributes"].pop("strategy", generator.name)
        kept.sort(key=lambda one: one.id)
        provenance = Provenance(lineage=tuple(sorted(set(generator.lineage))))
        classes = sorted({one.found.facts["class"] for one in kept})
        with ShardSetWriter(out, "synthetic", classes=classes, shard_size=shard_size, provenance=provenance) as writer:
            for one in track(kept, "writing", len(kept)):
                write(writer, one, encoding)
        report.written["synthetic"] = len(kept)
    write_report(report, out, out)
    return report


def lineage_ids(names: Sequence[str]) -> tuple[str, ...]:
    """The ids that `shards make` gives images of these file names, without their folders."""
    return tuple(id_of(without_suffix(name.replace("\\", "/").rpartition("/")[2])) for name in names)
