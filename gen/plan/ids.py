"""Ids of plan rows: from number and cell, in the letters and the length that shards allow."""

from __future__ import annotations

import hashlib
import re

from shards.format.schema import ID_LENGTH


def cell_id(number: int, label: str, group: str | None, *more: str) -> str:
    """An id that sorts by number first, so that every shard and every prefix of a plan is balanced."""
    parts = [f"{number:06d}", label, *([group] if group else []), *more]
    return fitting_id("-".join(map(_plain, parts)))


def _plain(part: str) -> str:
    """A name in an id's letters; a digest stands for letters of another alphabet, so that names stay distinct."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", part).strip("-")
    if re.fullmatch(r"[A-Za-z0-9_ -]*", part):
        return plain or "x"
    return f"{plain}-{_short(part)[:6]}".strip("-")


def fitting_id(name: str) -> str:
    """An id of at most `ID_LENGTH` characters; a longer one ends in its digest, so that it stays unique."""
    return name if len(name) <= ID_LENGTH else f"{name[: ID_LENGTH - 13]}-{_short(name)}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
