"""Ids that say nothing: keyed digests of the names of photographs and patients, and a private list of what is what."""

from __future__ import annotations

import csv
import hmac
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dermforge.common.atomic import write_whole
from dermforge.common.csv_cells import bare, csv_of_rows
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim

#: In the private folder: the key, and the ids of the names.
KEY, NAMES = "key.txt", "names.csv"


@dataclass(frozen=True)
class HiddenNames:
    """Makes ids of names with a key: without it nobody can try out names (HMAC, RFC 2104).

    Attributes
    ----------
    folder
        Private: holds the key and the lists of names. One key gives a name the same id in every set.
    """

    folder: Path
    key: bytes

    def __call__(self, name: str) -> str:
        """The id of a name: x and 96 bits in hexadecimal."""
        return "x" + hmac.digest(self.key, name.encode(errors="surrogateescape"), "sha256").hex()[:24]

    def record(self, names: Iterable[tuple[str, str]]) -> None:
        """Add pairs of name and id to the private list, for whoever must find a photograph again."""
        place, known = self.folder / NAMES, set[tuple[str, str]]()
        if place.is_file():
            with place.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                known = {(bare(row["name"]), row["id"]) for row in csv.DictReader(file)}
        write_whole(place, csv_of_rows(("name", "id"), sorted(known | set(names))))
        place.chmod(0o600)


def open_hidden(folder: Path, out: str | Path) -> HiddenNames:
    """The key in a private folder; both are made if there are none.

    Raises
    ------
    UserError
        The folder lies in the set, holds other files and no key, or its key is damaged.
    """
    if Path(out).resolve() in (folder.resolve(), *folder.resolve().parents):
        raise UserError(f"{folder} lies in {out}; give a private folder elsewhere: it holds the key and the names")
    claim(folder, "a private folder of shards make", [KEY])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = folder / KEY
    if not place.exists():
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    try:
        key = bytes.fromhex(place.read_text(encoding="ascii"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise UserError(f"{place} holds no key of 64 hexadecimal digits; restore it, or give an empty folder")
    return HiddenNames(folder, key)
