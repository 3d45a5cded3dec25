"""`shards push`: a shard set to the Hugging Face Hub, with its card."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.errors import UserError
from dermforge.common.hub_address import to_push
from shards.commands.conditions import Json
from shards.storage.turn import turn


def push(
    location: Annotated[Path, typer.Argument(metavar="SHARDS", help="Folder of shards, or of train/, test/ ...")],
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="hf://datasets/OWNER/NAME")],
    licence: Annotated[
        str | None, typer.Option("--licence", "--license", help="As the hub names it [default: that of the card].")
    ] = None,
    licence_link: Annotated[
        str | None, typer.Option("--licence-link", "--license-link", help="Of another licence: address of its text.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Everybody may see it; else it is private.")] = False,
    publish_real_images: Annotated[
        bool, typer.Option("--publish-real-images", help="Patients and ethics board allow that photographs leave.")
    ] = False,
    publish_real_ids: Annotated[
        bool, typer.Option("--publish-real-ids", help="Ids of real images that are no digests identify nobody.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send a shard set to the Hugging Face Hub, with a card that load_dataset and the viewer read, and Croissant.

    A new repository is private. A stopped push goes on: files that have arrived are not sent again. Log in before, with
    `hf auth login` or HF_TOKEN. Only the files of the set are sent; README.md keeps your words, its numbers are new.

    Example: shards push runs/demo/shards hf://datasets/me/lesions --licence cc-by-4.0
    """
    from dermforge.common.hub_push import Content
    from dermforge.common.hub_push import push as send
    from shards.tools.card_files import CARD_FILES
    from shards.tools.published import card_of, check_consent, digests_of, files_of, is_ours
    from shards.tools.whole_set import folders_of, open_whole

    address = to_push(to, "dataset")
    with ExitStack() as turns:
        for folder in folders_of(location):  # else a purge in between would send its image
            turns.enter_context(turn(location / folder))
        data = open_whole(location)
        if data.n == 0:
            raise UserError(f"{location} holds no images; there is nothing to push")
        check_consent(data, location, publish_real_images, publish_real_ids)
        card = card_of(data, location, address.id, licence, licence_link)
        files, left = files_of(location)
        content = Content({**files, **card}, CARD_FILES, digests_of(data), is_ours)
        done = send(address, content, public, f"{data.n} images in {len(data.sidecars)} shards", console.progress)
    if as_json:
        console.print_json({**vars(done), "images": data.n, "left_here": left})
        return
    who = "private" if done.private else "public"
    console.say(
        f"{done.address} ({who}), revision {done.revision[:12]}: {data.n} images, {done.files} files, "
        f"{done.bytes / 1e6:.1f} MB, of which {len(done.sent)} files are new"
    )
    if left:
        console.say(f"not sent, as no part of the set: {', '.join(left)}")
    if done.others:
        console.say(f"left on the hub, as no part of the set: {', '.join(done.others)}")
    if public and done.private:
        console.warn(f"{done.address} is private and stays so; change that in its settings on the hub")
    if old := [*done.removed, *done.replaced]:
        console.warn(
            f"{len(old)} files of a former revision ({', '.join(old[:3])}) are still in the history of {done.address}: "
            "where an image was withdrawn, squash the history and delete the old files in the settings on the hub"
        )
