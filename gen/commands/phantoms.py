"""`gen phantoms`: drawn lesions with known truth, as shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console
from dermforge.common.errors import UserError
from shards.format.schema import Split


def phantoms(
    out: Annotated[Path, typer.Argument(help="Folder for the shard sets train/, validation/ and test/.")],
    per_cell: Annotated[int, typer.Option(help="Training images per class and tone group.")] = 32,
    validation_per_cell: Annotated[int | None, typer.Option(help="Default: a quarter of --per-cell.")] = None,
    test_per_cell: Annotated[int | None, typer.Option(help="Default: as --per-cell.")] = None,
    size: Annotated[int, typer.Option(help="Width and height in px, 64 to 512.")] = 64,
    seed: Annotated[int, typer.Option(help="0 to 999; seed 0 is what the built-in pipeline was trained on.")] = 1,
    shard_size: Annotated[int, typer.Option(help="Images per shard.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Draw phantoms: procedural pictures of skin with a lesion of known class, tone and mask.

    Example: gen phantoms demo/phantoms --per-cell 6 --test-per-cell 34 --size 64 --seed 1
    """
    from gen.phantoms.dataset import PhantomSplit

    if not 64 <= size <= 512:
        raise UserError(f"--size {size}; expected 64 to 512 px")
    counts: dict[Split, int] = {
        "train": per_cell,
        "validation": max(1, per_cell // 4) if validation_per_cell is None else validation_per_cell,
        "test": per_cell if test_per_cell is None else test_per_cell,
    }
    splits = [PhantomSplit(split, n, seed, size, shard_size) for split, n in counts.items()]
    for one in splits:
        one.claim(out)
    for one in splits:
        with console.progress(f"draw {one.split} phantoms", one.images) as tick:
            one.write(out, tick)
    if as_json:
        console.print_json({"out": str(out), "images": {one.split: one.images for one in splits}})
    else:
        parts = ", ".join(f"{one.images} {one.split}" for one in splits)
        console.out.print(f"{sum(one.images for one in splits)} phantoms in {out}: {parts}")
