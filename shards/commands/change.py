"""Commands that write shards: select, regenerate, purge, repair."""

from __future__ import annotations

import getpass
import shutil
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from dermforge.common import console, processes
from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.tables import as_text, read_table
from dermforge.common.unused_options import used_only
from shards.commands.conditions import Cls, Group, Json, Location, MinScore, Split, Strategy, choose, ids_of
from shards.format.reader import ShardSet
from shards.format.schema import ID_PATTERN
from shards.mixing.sampling_order import few_per_class
from shards.storage.location import is_url


@used_only("with --few", lambda given: given["few"], "seed")
def select(
    location: Location,
    out: Annotated[str, typer.Option(help="Folder or s3:// address for the new shards.")],
    cls: Cls = None,
    group: Group = None,
    strategy: Strategy = None,
    split: Split = None,
    min_score: MinScore = None,
    ids: Annotated[Path | None, typer.Option(help="Only the ids in this table or list.")] = None,
    quarantine: Annotated[Path | None, typer.Option(help="Not the ids in this table or list.")] = None,
    few: Annotated[
        int | None, typer.Option(help="At most this many of each class, taken from the groups in turn.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of --few: the images of a study's arm with this seed.", min=0)] = 0,
    scores: Annotated[Path | None, typer.Option(help="Table with an id column and columns of scores.")] = None,
    name: Annotated[str, typer.Option(help="The shards are called NAME-000000.tar.")] = "selected",
    shard_size: Annotated[int, typer.Option(help="Images per shard.", min=1)] = 1000,
) -> None:
    """Copy some images into new shards, encoded as they are.

    Example: shards select runs/demo/shards --out kept --group dark --quarantine quarantine.csv
    """
    from shards.tools.select import select as copy

    data = ShardSet.open(location)
    table = _scores(scores) if scores else {}
    chosen = choose(data, cls, group, strategy, split)
    if ids or quarantine:
        chosen = chosen.where(ids=ids_of(ids) if ids else None, exclude=ids_of(quarantine) if quarantine else None)
    if table:
        merged = [own | table.get(key, {}) for key, own in zip(chosen.rows["id"], chosen.rows["scores"], strict=True)]
        chosen.rows = chosen.rows.assign(scores=merged)
    chosen = choose(chosen, None, None, None, None, min_score)
    if few:
        chosen = chosen.take(few_per_class(chosen.rows, few, seed))
    sidecars = copy(chosen, out, name, shard_size=shard_size, scores=table)
    console.say(f"{chosen.n} of {data.n} images in {len(sidecars)} shards: {out}")


@used_only("with --parents", lambda given: given["parents"], "masks")
def regenerate(
    location: Location,
    shard: Annotated[int, typer.Option(help="Number of the shard.", min=0)],
    check: Annotated[bool, typer.Option("--check", help="Only compare; change nothing.")] = False,
    engine: Annotated[Path | None, typer.Option(help="The bundle that the run used [default: gen's].")] = None,
    parents: Annotated[str | None, typer.Option(help="The real images from which its plan starts.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of their lesion masks.")] = None,
) -> None:
    """Make one shard of a `gen sample` run again, by `gen regenerate`; compare it, or replace a damaged one.

    Example: shards regenerate runs/demo/shards --shard 3 --check
    """
    program = shutil.which("gen", path=str(Path(sys.executable).parent))  # never one of the current folder
    if program is None:
        raise UserError(f"no program gen next to {sys.executable}; install dermforge there")
    given = {"--engine": engine, "--parents": parents, "--masks": masks}
    options = [word for name, value in given.items() if value for word in (name, str(value))]
    command = [program, "regenerate", location, "--shard", str(shard), *(["--check"] if check else []), *options]
    with processes.program(command) as started:
        raise typer.Exit(started.wait())


def purge(
    location: Location,
    parent: Annotated[str, typer.Option(help="Id of the real image.")],
    signed_off_by: Annotated[str | None, typer.Option(help="Who ordered it [default: this user].")] = None,
    as_json: Json = False,
) -> None:
    """Withdraw a real image: remove it and everything made from it. Run it again if it was stopped.

    Example: shards purge runs/demo/shards --parent patient-17-lesion-2
    """
    import re

    from shards.tools.purge import purge as remove

    if not re.match(ID_PATTERN, parent):
        raise UserError(f"--parent {parent!r} is not an id; expected letters, digits, - and _")
    done = remove(location, parent, signed_off_by or getpass.getuser())
    if as_json:
        facts = vars(done)
        console.print_json({"still_tuned_on_it" if key == "tuned" else key: facts[key] for key in facts})
    elif done.removed:
        console.say(
            f"{len(done.removed)} images of {len(done.rewritten)} shards were removed; {done.record} lists them"
        )
    else:
        console.say(
            f"nothing in {location} is {parent} or was made from it; {done.record} says that it is withdrawn, so it "
            "cannot come in later either"
        )
    if done.described:
        console.warn(
            f"{', '.join(done.described)} still describes the removed images; write it again with "
            "`shards card --force`, or edit it"
        )
    if done.removed and is_url(location):
        console.warn(
            "if the bucket keeps old versions of its objects, they still hold the images; delete them too, and the "
            "copies in the caches of other machines"
        )
    if done.tuned:
        console.warn(
            f"{len(done.tuned)} shards come from a model that was trained on {parent}; only a model trained without "
            "it can replace them"
        )
    if done.unrecorded:
        console.warn(
            f"the shards come from a model with {', '.join(done.unrecorded)}, whose training images nobody recorded: "
            f"{parent} may be among them"
        )


def repair(
    location: Location,
    out: Annotated[str, typer.Option(help="Folder or s3:// address for the saved images.")],
    classes: Annotated[
        str, typer.Option(help="Class names by number, comma-separated; needed where no sidecar is left.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Save the whole samples of damaged shards into new shards, and list the lost ones. Exit status 1 if any is lost.

    Example: shards repair runs/demo/shards --out runs/demo/saved
    """
    from shards.tools.repair import repair as save

    results = save(location, out, [word for word in classes.split(",") if word])
    lost = sum(len(r.lost or ()) for r in results)
    if as_json:
        console.print_json([vars(r) for r in results])
    else:
        for r in results:
            what = "unknown (no sidecar)" if r.lost is None else ", ".join(r.lost) or "none"
            unchecked = f" ({r.unchecked} without digests to check)" if r.unchecked else ""
            console.say(f"{r.shard}: {r.saved} images saved{unchecked}, lost: {what}")
        summary = f"{len(results)} damaged shards" if results else f"every shard of {location} is whole"
        console.say(summary)
    if lost or any(not r.saved for r in results):
        raise CheckFailed(
            f"{lost or 'all'} images of {len(results)} damaged shards are lost; the saved ones are in {out}"
        )


def _scores(path: Path) -> dict[str, dict[str, float]]:
    """Id -> name -> number, from a table; a cell without a number is no score."""
    table = as_text(read_table(path))
    if "id" not in table:
        raise UserError(f"{path} has no column id (it has {', '.join(table.columns)})")
    rows = table.drop(columns="id").apply(pd.to_numeric, errors="coerce").to_dict("records")
    numbers = [{str(name): value for name, value in row.items() if np.isfinite(value)} for row in rows]
    return dict(zip(table["id"], numbers, strict=True))
