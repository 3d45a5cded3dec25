"""Commands that change no shard: info, ls, verify, diff, sheet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.table import Table

from dermforge.common import console, id_ranges
from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.unused_options import used_only
from shards.commands.conditions import Cls, Group, Json, Location, MinScore, Split, Strategy, choose
from shards.format.reader import ShardSet
from shards.format.schema import count


def info(location: Location, as_json: Json = False) -> None:
    """Counts by class, group and strategy, bytes and digests.

    Example: shards info runs/demo/shards
    """
    data = ShardSet.open(location)
    cells = count([row for sidecar in data.sidecars for row in sidecar.samples])
    merged: dict[str, Any] = {
        "location": location,
        "shards": len(data.sidecars),
        "images": data.n,
        "bytes": sum(s.bytes for s in data.sidecars),
        "classes": data.classes,
        "groups": data.groups,
        "origins": sorted(set(data.rows["origin"])),
        "counts": [cell.model_dump(by_alias=True) for cell in cells],
        **{
            key: sorted({d for s in data.sidecars if (d := getattr(s, key))})
            for key in ("plan_digest", "bundle_digest", "model_digest")
        },
        "certificates": [
            one.model_dump() for one in sorted({s.certificates for s in data.sidecars if s.certificates}, key=str)
        ],
        "lineage": sorted({entry for s in data.sidecars for entry in s.lineage}),
        "tars": {s.tar: {"sha256": s.sha256, "bytes": s.bytes, "n": s.n} for s in data.sidecars},
    }
    if as_json:
        console.print_json(merged)
        return
    console.say(
        f"{data.n} images ({', '.join(merged['origins'])}) in {len(data.sidecars)} shards, "
        f"{merged['bytes'] / 1e6:.1f} MB"
    )
    rows = data.rows.assign(group=data.rows["group"].fillna("-"), strategy=data.rows["strategy"].fillna("-"))
    for strategy, part in rows.groupby("strategy"):
        groups = [g for g in (*data.groups, "-") if g in set(part["group"])]
        table = Table("class", *groups, "all", title=None if strategy == "-" else str(strategy))
        cross = pd.crosstab(part["class"], part["group"]).reindex(columns=groups)
        for label, line in cross.iterrows():
            table.add_row(str(label), *(str(n) for n in line), str(line.sum()))
        console.out.print(table)
    for key in ("plan_digest", "bundle_digest", "model_digest"):
        for digest in merged[key]:
            console.say(f"{key.replace('_', ' ')} {digest}")
    for certificates in merged["certificates"]:
        console.say(_vouched(certificates))
    if merged["lineage"]:
        console.say(f"the model was trained on {id_ranges.in_words(merged['lineage'])}")


def _vouched(certificates: dict[str, Any]) -> str:
    """What vouches for the images, in words."""
    parity, use, missing = (certificates[name] for name in ("parity", "use", "use_missing"))
    words = "certificate of parity: none"
    if parity:
        words = f"certificate of parity: {'passed' if parity['passed'] else 'FAILED'}, against {parity['reference']}"
    if use:
        return f"{words}; of use: {use['verdict']} ({use['digest'][:12]})"
    return f"{words}; of use: none" + (f" for these images, as {missing}" if missing else "")


def ls(
    location: Location,
    cls: Cls = None,
    group: Group = None,
    strategy: Strategy = None,
    split: Split = None,
    min_score: MinScore = None,
    as_json: Json = False,
) -> None:
    """One line per image, tab-separated: id, class, group, strategy, split, shard.

    Example: shards ls runs/demo/shards --class nodule --group dark
    """
    data = choose(ShardSet.open(location), cls, group, strategy, split, min_score)
    tars = [data.sidecars[shard].tar for shard in data.rows["shard"]]
    columns = ["id", "class", "group", "strategy", "split"]
    if as_json:
        console.print_json(
            [{**row, "tar": tar} for row, tar in zip(data.rows[columns].to_dict("records"), tars, strict=True)]
        )
        return
    for values, tar in zip(data.rows[columns].itertuples(index=False), tars, strict=True):
        sys.stdout.write("\t".join([*(value or "-" for value in values), tar]) + "\n")


@used_only("with --deep", lambda given: given["deep"], "require_marks")
def verify(
    location: Location,
    deep: Annotated[bool, typer.Option("--deep", help="Read and decode everything.")] = False,
    require_marks: Annotated[
        bool, typer.Option("--require-marks", help="Synthetic images without a mark are a fault.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Processes [default: one per core].", min=1)] = None,
    as_json: Json = False,
) -> None:
    """Check sidecars and sizes; with --deep every digest, header, image and mark. Exit status 1 on any fault.

    Example: shards verify runs/demo/shards --deep
    """
    from shards.tools.verify import verify as check

    verdict = check(location)
    if deep:
        with console.progress("verifying", verdict.images) as tick:
            verdict = check(location, deep, workers, tick, require_marks)
    if as_json:
        console.print_json(vars(verdict))
    else:
        for fault in verdict.faults:
            console.warn(fault, "fault", "red")
        for note in verdict.notes:
            console.err.print(f"note: {note}", soft_wrap=True)
    if verdict.faults:
        raise CheckFailed(f"{len(verdict.faults)} faults in {verdict.shards} shards of {location}")
    if not as_json:
        how = "every digest, header, image and mark" if deep else "sidecars and sizes; --deep reads the images too"
        console.out.print(f"{verdict.images} images in {verdict.shards} shards are as written ({how})", soft_wrap=True)


def diff(
    first: Location,
    second: Annotated[str, typer.Argument(metavar="OTHER", help="The other set.")],
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Decode the images that differ, and print by how much.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare two sets id by id. Exit status 1 when they differ.

    Example: shards diff run1/shards run2/shards --pixels
    """
    from shards.tools.diff import diff as compare

    found = compare(ShardSet.open(first), ShardSet.open(second), pixels)
    if as_json:
        console.print_json(vars(found))
    else:
        for what, ids in (
            ("only in the first", found.only_first),
            ("only in the second", found.only_second),
            ("another image", found.images),
            ("another record", found.records),
        ):
            for key in ids:
                sys.stdout.write(f"{what}\t{key}\n")
    if not found.same:
        by = "" if found.largest != found.largest else f", by at most {found.largest:.0f} of 255"
        raise CheckFailed(
            f"{first} and {second} differ: {len(found.only_first)} ids only in the first, {len(found.only_second)} "
            f"only in the second, {len(found.images)} images{by}, {len(found.records)} records"
        )
    if not as_json:
        console.out.print("the same images and records")


def sheet(
    location: Annotated[str, typer.Argument(metavar="DATA", help="Shards, or a folder of images.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("sheet.png"),
    per_cell: Annotated[int, typer.Option(help="Images per class and group.", min=1)] = 2,
    thumb: Annotated[int, typer.Option(help="Edge of an image in pixels.", min=16, max=512)] = 64,
) -> None:
    """Draw a contact sheet with one row per class and one column per group.

    Example: shards sheet runs/demo/shards --out sheet.png --per-cell 3
    """
    from shards.ingest.folder import open_data
    from shards.tools.contact_sheet import contact_sheet

    if not out.parent.is_dir():
        raise UserError(f"{out.parent} is not a folder; make it, or give another --out")
    contact_sheet(open_data(location), out, per_cell=per_cell, thumb=thumb)
    console.say(f"contact sheet: {out}")
