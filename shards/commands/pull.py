"""`shards pull`: a shard set from the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.hub_address import hub_address
from shards.commands.conditions import Json


def pull(
    source: Annotated[str, typer.Argument(metavar="ADDRESS", help="hf://datasets/OWNER/NAME, with @REVISION or not")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder.")],
    as_json: Json = False,
) -> None:
    """Fetch a shard set from the Hugging Face Hub, and check every digest, header and image of it.

    Only files that belong to a set are fetched, never code. A stopped pull goes on. OUT appears when all is whole; exit
    status 1 where something is not. @REVISION is a branch, a tag or a commit.

    Example: shards pull hf://datasets/me/lesions data
    """
    from dermforge.common.hub_pull import Format
    from dermforge.common.hub_pull import pull as fetch
    from shards.tools.published import check_whole, chosen_of

    form = Format(
        "a shard set",
        lambda remote: chosen_of(remote.names, remote.repository.address),
        lambda folder: check_whole(folder, console.progress),
    )
    done = fetch(hub_address(source, "dataset"), out, form, console.progress)
    if as_json:
        console.print_json(vars(done))
        return
    state = "already there, and as on the hub" if done.was_there else "as it was written"
    console.say(f"{done.out}: {done.files} files, {done.bytes / 1e6:.1f} MB of revision {done.revision[:12]}, {state}")
    if done.left_out:
        console.say(f"not fetched, as no part of a set: {', '.join(done.left_out)}")
