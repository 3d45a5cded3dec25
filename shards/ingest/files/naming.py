"""Ids of images, made of the names that other data sets give them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import UserError
from shards.format.schema import ID_LENGTH


def id_of(name: str) -> str:
    """The id of an image of this name, if no other image gets the same: other characters become hyphens."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:ID_LENGTH] or "image"


def unique_ids(names: Sequence[str], places: Sequence[str] | None = None) -> list[str]:
    """Turn names into ids: other characters become hyphens; ids that are then equal get a digest.

    Parameters
    ----------
    places
        Where each image lies, which tells equal names apart.
    """
    ids = [id_of(name) for name in names]
    taken: dict[str, int] = {}
    for one in ids:
        taken[one] = taken.get(one, 0) + 1
    unique = [
        one if taken[one] == 1 else f"{one[: ID_LENGTH - 9]}-{digest_bytes(apart.encode())[:8]}"
        for one, apart in zip(ids, places or names, strict=True)
    ]
    if len(set(unique)) != len(unique):
        again = next(name for name in unique if unique.count(name) > 1)
        raise UserError(f"two images have the id {again!r}; ids must be unique")
    return unique
