"""The files that describe a set to people and to machines: README.md, croissant.json and samples.csv."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from dermforge.common.hub_licences import Licence
from shards.format.reader import ShardSet
from shards.tools import croissant, datacard

#: The names of the three.
CARD_FILES = (datacard.CARD, croissant.FILE, croissant.TABLE)


@dataclass(frozen=True)
class Words:
    """What a person says of a set.

    Attributes
    ----------
    url, date
        None for the hub's address of its name, and for today.
    """

    name: str
    licence: Licence
    summary: str = ""
    url: str | None = None
    cite: str = ""
    version: str = "1.0.0"
    date: str | None = None


def card_files(data: ShardSet, words: Words) -> dict[str, bytes]:
    """The files of a card, by their names."""
    day = words.date or datetime.now(UTC).date().isoformat()
    table = croissant.table(data.rows)
    said = croissant.Description(
        name=words.name,
        description=words.summary or croissant.counted(data.n, data.classes),
        license=words.licence.address,
        url=words.url or f"https://huggingface.co/datasets/{words.name}",
        version=words.version,
        datePublished=day,
        citeAs=words.cite or f"{words.name}, {day}",
    )
    document = croissant.to_bytes(croissant.describe(data, table, said))
    text = datacard.card(data, name=words.name, licence=words.licence, summary=words.summary, cite=words.cite)
    return {croissant.TABLE: table, croissant.FILE: document, datacard.CARD: text.encode()}


def names_of_people(data: ShardSet) -> Iterator[str]:
    """What comes from the names of real images: ids and patients of those in the set, parents, lineage, withdrawals."""
    for one in data.sidecars:
        yield from one.lineage
        yield from one.withdrawn
    yield from data.rows["parent"].dropna()
    real = data.rows[data.rows["origin"] == "real"]
    yield from real["id"]
    yield from real["cluster"].dropna()
