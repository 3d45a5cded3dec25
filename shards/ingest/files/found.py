"""What a data set holds, before any image is read: images with their facts, and the files that are passed over."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shards.ingest.files.walk import File

#: Why a table that labels images is no image itself.
USED_TABLE = "read: it describes the images"


@dataclass
class FoundImage:
    """One image before it is checked, or a row of a table that names none.

    Attributes
    ----------
    name
        From which its id is made.
    facts
        Class, group, cluster, split, origin and attributes, as far as the source gives them.
    data
        The encoded image, or the file that holds it; None for a row without a file.
    problem
        Why there is no image; "" if there is one.
    place
        Where its file lies in the data set.
    repeats
        Whether it is a further row of an image that has an entry.
    """

    name: str
    facts: dict[str, Any]
    data: bytes | File | None = None
    problem: str = ""
    place: str = ""
    repeats: bool = False

    @property
    def listed_as(self) -> str:
        """How lists name it: the place of its file, else its name."""
        return self.place or self.name


@dataclass
class Inventory:
    """Everything that was found: iterate over the images; every other file is in `passed_over` afterwards.

    Attributes
    ----------
    images
        Each image once, and the rows of tables that name no image. They are read as they are asked for.
    passed_over
        Place and reason of each file that is no image, those of tables that were read included.
    notes
        What was taken from where: sentences for the user.
    scratch
        Holds what had to be unpacked, as long as this object lives.
    """

    images: Iterator[FoundImage]
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    scratch: tempfile.TemporaryDirectory[str] | None = None

    def __iter__(self) -> Iterator[FoundImage]:
        return self.images
