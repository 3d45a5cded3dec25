"""`shards overlap`: images that two data sets share."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.atomic import write_whole
from dermforge.common.csv_cells import csv_of_rows
from dermforge.common.errors import CheckFailed
from shards.commands.conditions import Json
from shards.ingest.near import NEAR

#: Of the table of pairs.
COLUMNS = ("first", "second", "how", "bits")


def overlap(
    first: Annotated[str, typer.Argument(metavar="DATA", help="Shards, or a folder of images.")],
    second: Annotated[str, typer.Argument(metavar="OTHER", help="The other set.")],
    out: Annotated[Path | None, typer.Option(help="CSV of all pairs; without it the first 20 are printed.")] = None,
    near: Annotated[int, typer.Option(help="Bits of 256 in which one picture may differ.", min=0, max=128)] = NEAR,
    as_json: Json = False,
) -> None:
    """List images that are in both sets: the same pixels, nearly the same, or one name. Exit status 1 if there are any.

    Public data sets share pictures: SkinCAP is made of Fitzpatrick17k and DDI, and ISIC's challenges of HAM10000 and
    one another. A classifier trained on one must not be tested on the other.

    Example: shards overlap skincap/train fitzpatrick17k/test --out shared.csv
    """
    from dermforge.common.output_file import claim_table
    from shards.ingest.folder import open_data
    from shards.ingest.overlap import overlap as compare

    if out:
        claim_table(out, "a list of shared images", COLUMNS)
    found = compare(open_data(first), open_data(second), near, console.track)
    rows = [(one.first, one.second, one.how, one.bits) for one in found]
    if out:
        write_whole(out, csv_of_rows(COLUMNS, rows))
    if as_json:
        console.print_json([vars(one) for one in found])
    else:
        for row in () if out else rows[:20]:
            sys.stdout.write("\t".join(map(str, row)) + "\n")
    if found:
        kinds = ", ".join(f"{n} {how}" for how, n in Counter(one.how for one in found).most_common())
        images = len({one.first for one in found})
        raise CheckFailed(f"{images} images of {first} are in {second}: {kinds}; leave them out of one side")
    if not as_json:
        console.say(f"{first} and {second} share no image")
