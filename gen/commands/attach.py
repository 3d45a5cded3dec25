"""`gen attach`: the certificate of use into the bundle that it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.command_line import typed


def attach(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    certificate: Annotated[Path, typer.Argument(help="use.json, as `evalsuite use` wrote it.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another certificate of the bundle.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Put a certificate of use into the bundle whose images it is of; one of another bundle is refused.

    Whatever it says is attached, a fail too: `gen inspect` shows it, and runs that begin afterwards name it in every
    sidecar. A bundle that holds another certificate is refused, with the verdict of that one, unless --overwrite.

    Example: gen attach fast-bundle use/use.json
    """
    from engines import read_bundle, use

    there = read_bundle(bundle)
    found = use.attach(there, certificate, overwrite)
    if json:
        console.print_json({"bundle": str(bundle), "digest": there.digest, "verdict": found.verdict})
        return
    console.out.print(
        f"{bundle}: certificate of use: {found.sentence()}; see {typed('gen', 'inspect', bundle)}", soft_wrap=True
    )
