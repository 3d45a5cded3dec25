"""`gen regenerate`: one shard of a run made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from gen.commands import DEFAULT_BUNDLE


def regenerate(
    shards: Annotated[str, typer.Argument(help="Folder or s3:// address of the run.")],
    shard: Annotated[int, typer.Option(help="Number of the shard.", min=0)],
    check: Annotated[bool, typer.Option("--check", help="Only compare; change nothing.")] = False,
    engine: Annotated[Path, typer.Option(help="The bundle that the run used.")] = DEFAULT_BUNDLE,
    parents: Annotated[str | None, typer.Option(help="The real images that its plan starts from.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of their lesion masks, as in gen sample.")] = None,
) -> None:
    """Make one shard of a `gen sample` run again; compare it, or put it in place of a damaged one.

    On a CPU it has the same bytes. On a GPU torch and ONNX Runtime choose kernels by timing, and images may differ in
    their last bits.

    Example: gen regenerate runs/demo/shards --shard 3 --check
    """
    from gen.sampling.regenerate import regenerate as make

    make(shards, shard, engine, parents, masks, replace=not check)
    console.say(f"shard {shard} of {shards} {'has the same bytes' if check else 'was written again'}")
