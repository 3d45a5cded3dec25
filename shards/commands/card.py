"""`shards card`: a Hugging Face dataset card and a Croissant description next to the shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console, hub_licences
from dermforge.common.clear_names import in_clear, warning
from dermforge.common.errors import UserError
from shards.format.nearby import open_shards
from shards.format.reader import ShardSet
from shards.storage.turn import turn
from shards.tools import croissant, datacard
from shards.tools.card_files import Words, card_files, names_of_people


def card(
    folder: Annotated[str, typer.Argument(help="Folder or s3:// address of the shards; the files go into it.")],
    licence: Annotated[
        str, typer.Option("--license", "--licence", help="Licence, as the hub names it: cc-by-4.0, or other.")
    ],
    licence_link: Annotated[
        str | None, typer.Option("--license-link", "--licence-link", help="Of another licence: address of its text.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Title [default: the folder's name]")] = None,
    summary: Annotated[str, typer.Option(help="A sentence of your own.")] = "",
    url: Annotated[
        str | None, typer.Option(help="Address of the data set [default: a hub address of its name]")
    ] = None,
    cite: Annotated[str, typer.Option(help="How to cite it.")] = "",
    version: Annotated[str, typer.Option(help="Version of the data set.")] = "1.0.0",
    date: Annotated[str | None, typer.Option(help="Day of publication, ISO [default: today]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing card.")] = False,
) -> None:
    """Describe a shard set for people and for machines: a Hugging Face dataset card and Croissant (MLCommons).

    Writes README.md, croissant.json and samples.csv, the table to which croissant.json refers.

    Example: shards card runs/demo/shards --license cc-by-4.0 --summary "Six kinds of lesion on six skin tones."
    """
    chosen = hub_licences.licence(licence, licence_link)
    open_shards(folder)
    with turn(folder):  # else a purge in between would leave its image in the description
        data = ShardSet.open(folder)
        if data.n == 0:
            raise UserError(f"{folder} holds no images; there is nothing to describe")
        title = name or Path(folder).resolve().name
        files = card_files(data, Words(title, chosen, summary, url, cite, version, date))
        there = data.storage.names()
        other = [file for file in reversed(files) if file in there and data.storage.read(file) != files[file]]
        if other and not force:
            raise UserError(f"{folder}/{other[0]} already exists; move it away, or replace it with --force")
        for file, content in files.items():
            data.storage.write(file, content)
    names = in_clear(names_of_people(data))
    if names:
        console.warn(warning(names, folder))
    console.say(
        f"{folder}/{datacard.CARD} and {folder}/{croissant.FILE}: {data.n} images in {len(data.sidecars)} shards"
    )
