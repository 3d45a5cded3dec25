"""Which folders and addresses may become a shard set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dermforge.common import output_folder
from shards.storage.location import is_url, open_storage

SHARDS = ("*-[0-9][0-9][0-9][0-9][0-9][0-9].json", "*-[0-9][0-9][0-9][0-9][0-9][0-9].tar")


def claim_set(location: str | Path, records: Sequence[str] = ()) -> None:
    """Refuse a place that holds files, but neither shards nor one of `records`.

    Raises
    ------
    UserError
        See `output_folder.claim`.
    """
    known = (*SHARDS, *records)
    if is_url(location):
        output_folder.claim_names(location, open_storage(location).names(missing_ok=True), "a shard set", known)
    else:
        output_folder.claim(location, "a shard set", known)
