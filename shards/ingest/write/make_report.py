"""What became of every file that an import found, and the lists that say so beside the shards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dermforge.common.csv_cells import csv_of_rows
from shards.format.record import canonical_json
from shards.ingest.files.found import USED_TABLE, Inventory
from shards.ingest.files.kinds import TABLE_SUFFIXES, UNREAD_TABLES
from shards.storage.location import create_storage

#: What is written next to the splits: the images left out, the other files, and a summary.
RECORDS = DROPPED, PASSED_OVER, MADE = "_dropped.csv", "_passed_over.csv", "_made.json"


@dataclass
class MakeReport:
    """What became of everything that was found: files == sum(written) + dropped images + passed_over.

    Attributes
    ----------
    written
        Split -> images.
    dropped
        Images that were left out, and rows without one: place or name, reason.
    rows_without_image
        How many of `dropped` are rows of a table.
    passed_over
        The files that are no images: place, reason.
    files
        How many files were found; a row with an image in it and a sample of a tar count as files.
    notes
        What was taken from where: sentences.
    named
        Of how many images the data named the split.
    """

    written: dict[str, int] = field(default_factory=dict)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    rows_without_image: int = 0
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    files: int = 0
    notes: list[str] = field(default_factory=list)
    near_duplicates: int = 0
    clusters: int = 0
    named: int = 0

    def close(self, found: Inventory) -> None:
        """Take over what was passed over and said, once every image was read."""
        self.passed_over, self.notes = found.passed_over, list(found.notes)
        self.files += len(found.passed_over)

    @property
    def why_nothing(self) -> str:
        """Why no image is left: the first reasons, or what there is instead."""
        tables = (*TABLE_SUFFIXES, *UNREAD_TABLES)
        unused = [one for one in self.passed_over if one[0].casefold().endswith(tables) and one[1] != USED_TABLE]
        few = "; ".join(f"{name}: {why}" for name, why in (unused[:1] + self.dropped or self.passed_over)[:3])
        return f"no image is left to write of {self.files} files; {few or 'the folder is empty'}"


def write_report(report: MakeReport, out: str | Path, lists: str | Path) -> None:
    """Write the summary to `out`, and what names files to `lists`, which may be a private folder."""
    for name, rows in ((DROPPED, report.dropped), (PASSED_OVER, report.passed_over)):
        create_storage(lists).write(name, csv_of_rows(("name", "why"), sorted(rows)))
    summary = {
        "files": report.files,
        "written": report.written,
        "dropped": len(report.dropped),
        "rows_without_image": report.rows_without_image,
        "passed_over": len(report.passed_over),
        "near_duplicates": report.near_duplicates,
        "clusters": report.clusters,
    }
    create_storage(out).write(MADE, canonical_json(summary) + b"\n")
