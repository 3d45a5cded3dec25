"""Refuses images that are given as real and that say themselves that no camera took them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from dermforge.common.errors import CheckFailed, UserError
from shards.format.find_mark import mark_of
from shards.format.mark import Mark, at_odds
from shards.format.reader import ImageSet

THREADS = 4
SHOWN = 5


def refuse_marked(images: ImageSet, given_as: str) -> None:
    """Read every file and refuse the set if one is marked; a set of phantoms may say that a program drew them.

    Any tool's mark counts, also that of an image whose set says that it is synthetic: it was given as real.

    Parameters
    ----------
    given_as
        What they are to be, such as "real images", for the message.

    Raises
    ------
    UserError
        Names the ids.
    """
    origins = ["phantom" if one == "phantom" else "real" for one in images.rows["origin"]]
    with ThreadPoolExecutor(THREADS) as pool:
        marks = pool.map(lambda position: _mark(images, position), range(images.n))
        rows = zip(images.rows["id"], origins, marks, strict=True)
        found = {key: word for key, origin, mark in rows if (word := at_odds(origin, mark))}
    if found:
        raise UserError(
            f"{images} was given as {given_as}, but {in_words(found, images.n)}; leave them out, or give them as "
            "synthetic images"
        )


def in_words(found: Mapping[str, str], n: int) -> str:
    """How many of n images are marked, and the first of them with their marks' words."""
    first = ", ".join(f"{key}: {word}" for key, word in list(found.items())[:SHOWN])
    rest = len(found) - SHOWN
    more = f" and {rest} more" if rest > 0 else ""
    return f"{len(found)} of {n} images are marked as made by an algorithm ({first}{more})"


def _mark(images: ImageSet, position: int) -> Mark | None:
    try:
        return mark_of(images.file_at(position))
    except (OSError, UserError, CheckFailed):  # whoever decodes it says what is wrong with the file
        return None
