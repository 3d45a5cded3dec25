"""`shards sign`: content credentials (C2PA) for synthetic images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from shards.commands.conditions import Json, Location
from shards.storage.claim import claim_set


def sign(
    location: Location,
    out: Annotated[str, typer.Option(help="Folder or s3:// address for the signed shards.")],
    certificate: Annotated[Path, typer.Option(help="PEM: your certificate, then those that vouch for it.")],
    key: Annotated[Path, typer.Option(help="PEM: its private key, without a passphrase.")],
    alg: Annotated[str, typer.Option(help="es256, es384, es512, ps256, ps384, ps512 or ed25519.")] = "es256",
    timestamps: Annotated[
        str | None, typer.Option(help="Address of a time-stamp authority, so that signatures outlive the certificate.")
    ] = None,
    name: Annotated[str, typer.Option(help="The shards are called NAME-000000.tar.")] = "signed",
    shard_size: Annotated[int, typer.Option(help="Images per shard.", min=1)] = 1000,
    as_json: Json = False,
) -> None:
    """Copy synthetic images into new shards, each with a C2PA manifest that your certificate signs.

    It needs the package c2pa-python. Nothing is signed alike twice: the signed set is for publication, and the run from
    which it comes stays the one that `shards regenerate` can make again.

    Example: shards sign runs/demo/shards --out signed --certificate chain.pem --key key.pem
    """
    from shards.format.reader import ShardSet
    from shards.tools.sign import Signing
    from shards.tools.sign import sign as write

    claim_set(out, name)
    signing, data = Signing(certificate, key, alg, timestamps), ShardSet.open(location)
    with console.progress("signing", data.n) as tick:
        sidecars = write(data, out, signing, name, shard_size=shard_size, tick=tick)
    if as_json:
        console.print_json({"out": out, "images": data.n, "shards": len(sidecars)})
    else:
        console.say(f"{data.n} signed images in {len(sidecars)} shards: {out}")
