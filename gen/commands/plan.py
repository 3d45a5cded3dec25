"""`gen plan`: what to generate, as a table with a digest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dermforge.common import console
from dermforge.common.errors import UserError
from dermforge.common.tables import read_table
from dermforge.common.unused_options import used_only
from gen.commands import DEFAULT_BUNDLE, listed

if TYPE_CHECKING:
    from gen.plan.plan import Plan


#: Options of how images are made, and of which cells.
HOW = (
    *("preset", "prompt", "one_prompt_for_all", "solver", "steps", "guidance", "guidance_interval", "base_steps"),
    *("size", "seed"),
)
CELLS = (
    *("classes", "groups", "strategy", "per_cell", "cells", "balance", "from_predictions", "total", "floor"),
    *("group_column", "parents", "per_parent", "to_groups", "mask", "strength", "negative_prompt"),
)


def _strategies(given: Mapping[str, Any]) -> set[str]:
    from gen.plan.grid import settings_from

    return set(settings_from(given["preset"], {"strategies": listed(given["strategy"])}).strategies)


@used_only("without --refill", lambda given: given["refill"] is None, "table", *HOW, *CELLS)
@used_only("with --refill", lambda given: given["refill"], "kept")
@used_only("without --table", lambda given: given["table"] is None, *CELLS)
@used_only("without --cells", lambda given: given["cells"] is None, "classes", "groups", "per_cell")
@used_only("without --from-predictions", lambda given: given["from_predictions"] is None, "per_cell")
@used_only("with --from-predictions", lambda given: given["from_predictions"], "total", "floor", "group_column")
@used_only("with --parents", lambda given: given["parents"], "per_parent", "to_groups", "mask", "strength")
@used_only(
    "with a --strategy that starts from photographs",
    lambda given: _strategies(given) - {"text-to-image"},
    *("to_groups", "strength"),
)
@used_only(
    "with --strategy inpaint, outpaint or inpaint-outpaint",
    lambda given: _strategies(given) - {"text-to-image", "image-to-image"},
    "mask",
)
def plan(
    out: Annotated[Path | None, typer.Option(help="Where to write it: .csv or .parquet.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Print cells, forwards per image and time.")] = False,
    table: Annotated[Path | None, typer.Option(help="Your own plan rows: CSV or parquet with a class column.")] = None,
    preset: Annotated[str | None, typer.Option(help="sagers2023 (the paper) or fast.")] = None,
    engine: Annotated[
        Path | None,
        typer.Option(help="Bundle that names classes, groups and size [default: bundle, where there is one]."),
    ] = None,
    classes: Annotated[str | None, typer.Option(help="Comma-separated [default: the bundle's].")] = None,
    groups: Annotated[str | None, typer.Option(help="Skin types [default: the bundle's].")] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="text-to-image, image-to-image, inpaint, outpaint, inpaint-outpaint [default: preset's, or first]."
        ),
    ] = None,
    per_cell: Annotated[
        int | None, typer.Option(help="Images per class and skin type, from text [default: 32].")
    ] = None,
    cells: Annotated[Path | None, typer.Option(help="Table of class, group, n.")] = None,
    balance: Annotated[Path | None, typer.Option(help="Real data to bring to equal cells.")] = None,
    from_predictions: Annotated[
        Path | None, typer.Option(help="Predictions table: more images where it errs, with --total and --floor.")
    ] = None,
    total: Annotated[int, typer.Option(help="Images in all, with --from-predictions.")] = 1000,
    floor: Annotated[int, typer.Option(help="Images that each cell gets at least.")] = 8,
    group_column: Annotated[str, typer.Option(help="Skin-type column of the predictions.")] = "group",
    parents: Annotated[Path | None, typer.Option(help="Real images: shards or a folder.")] = None,
    per_parent: Annotated[int | None, typer.Option(help="Images per real image [default: the preset's, or 1].")] = None,
    to_groups: Annotated[str | None, typer.Option(help="Draw each parent in these skin types.")] = None,
    mask: Annotated[str | None, typer.Option(help="centre, lesion, ellipse or rectangle [default: centre].")] = None,
    strength: Annotated[float | None, typer.Option(help="How far from the parent, 0 to 1.")] = None,
    refill: Annotated[Path | None, typer.Option(help="Plan of which to make the dropped images again.")] = None,
    kept: Annotated[
        Path | None, typer.Option(help="With --refill: shards or a table of the ids that were kept.")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="Template with {class} and {group} or {fst} [default: the bundle's, or the paper's]."),
    ] = None,
    one_prompt_for_all: Annotated[
        bool, typer.Option("--one-prompt-for-all", help="Accept a template that does not name the skin types.")
    ] = False,
    negative_prompt: Annotated[str | None, typer.Option(help="What not to draw.")] = None,
    solver: Annotated[
        str | None,
        typer.Option(
            help="ddim, euler, euler-ancestral, heun, dpmsolver++, unipc, lcm, tcd; with :karras and so on "
            "[default: the preset's, the distilled model's, or dpmsolver++]."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Solver steps [default: the preset's, the distilled model's, or 20].")
    ] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale [default: the preset's, or 3].")] = None,
    base_steps: Annotated[
        int | None, typer.Option(help="First steps that the base takes [default: 1 where the bundle has one, else 0].")
    ] = None,
    guidance_interval: Annotated[
        str | None, typer.Option(help="Noise levels LOW:HIGH that are guided, such as 0.28:5.42.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Pixels [default: the bundle's].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all noise [default: the preset's, or 0].")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Lay out what to generate, one row for each image; the same options give the same bytes.

    A plan does not depend on the weights: the paper's two arms are one plan, sampled with a pretrained bundle and with
    a fine-tuned one.

    Example: gen plan --preset sagers2023 --parents ./real --engine ./my-bundle --out plan.csv --show
    """
    from engines.bundle import read_bundle
    from engines.manifest import MANIFEST
    from gen.plan import cost, grid
    from gen.plan.parents import Parents
    from gen.plan.plan import load, parse_interval
    from gen.plan.refill import kept_ids
    from gen.plan.refill import refill as refill_plan
    from gen.plan.request import CellRequest, new_plan
    from gen.plan.validate_plan import check_size
    from shards.ingest.folder import open_data

    if out is None and not show:
        raise UserError("nothing to do; give --out FILE to write the plan, --show to look at it, or both")
    if engine is None and (DEFAULT_BUNDLE / MANIFEST).is_file():
        engine = DEFAULT_BUNDLE
    bundle = None if engine is None else read_bundle(engine)
    spec = None if bundle is None else bundle.manifest.spec
    changes = {
        "strategies": tuple(listed(strategy) or ()) or None,
        "per_parent": per_parent,
        "mask": mask,
        "strength": strength,
        "template": prompt,
        "one_for_all": one_prompt_for_all,
        "negative_prompt": negative_prompt,
        "solver": solver,
        "steps": steps,
        "guidance": guidance,
        "base_steps": base_steps,
        "guidance_interval": parse_interval(guidance_interval) if guidance_interval else None,
        "size": spec.size if size is None and spec else size,
        "seed": seed,
    }
    base = None if bundle is None else bundle.manifest.base
    settings = grid.settings_from(preset, changes, grid.few_steps(spec, base is not None))
    if refill is not None:
        if kept is None:
            raise UserError("--refill needs --kept: the shards, or a table, of the images that were kept")
        made = refill_plan(load(refill), kept_ids(kept))
    elif table is not None:
        _refuse_useless(
            table, {name: changes[name] for name in HOW if name in changes} | {"prompt": prompt, "size": size}
        )
        made = load(table, settings.row_defaults(spec.prompt_template if spec else None), one_prompt_for_all)
    else:
        wanted = CellRequest(
            listed(classes), listed(groups), per_cell, cells, balance, from_predictions, total, floor, group_column
        )
        real = Parents(open_data(parents), parents) if parents else None
        made = new_plan(settings, wanted, spec, real, listed(to_groups))
    if spec is not None:
        check_size(made, spec)
    # refuses an unknown solver or an impossible number of steps before anything is written
    forwards = cost.forwards(made, spec, None if base is None else base.spec) / len(made)
    seconds = math.nan if bundle is None else cost.seconds(bundle, forwards, len(made))
    if out is not None:
        made.save(out)
    report = {
        "rows": len(made),
        "digest": made.digest,
        "file": None if out is None else str(out),
        "forwards_per_image": forwards,
        "expected_seconds": seconds,
    }
    if json:
        console.print_json(report | {"cells": made.cells().to_dict()})
        return
    if show:
        print_plan(made, report)
    if out is not None:
        console.out.print(f"{out}: {len(made)} images, digest {made.digest}", soft_wrap=True)


def _refuse_useless(table: Path, told: Mapping[str, Any]) -> None:
    """Refuse options for what every row of a table says itself."""
    rows = read_table(table)
    for name, value in told.items():
        if value is not None and name in rows and rows[name].notna().all():
            flag = name.replace("_", "-")
            raise UserError(f"every row of {table} has its own {name}, which wins: leave out --{flag}, or the column")


def print_plan(made: Plan, report: dict[str, Any]) -> None:
    from rich.table import Table

    from dermforge.common.skin_tone import in_order

    counts = made.cells()
    counts = counts[in_order(counts.columns)]
    grid = Table("class", *(str(c) or "-" for c in counts.columns))
    for label, row in counts.iterrows():
        grid.add_row(str(label), *(str(n) for n in row))
    console.out.print(grid)
    ways = ", ".join(f"{n} {name}" for name, n in made.frame["strategy"].value_counts().items())
    time = report["expected_seconds"]
    clock = "unknown (no bundle with timings)" if time != time else f"{time:.0f} s on this bundle's machine"
    console.out.print(
        f"{ways}; {report['forwards_per_image']:.1f} denoiser rows per image; time: {clock}", soft_wrap=True
    )
