"""`gen plan`: what to generate, as a table with a digest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dermforge.common import console
from dermforge.common.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from engines.pipeline_spec import PipelineSpec
    from gen.plan.cells import Counts
    from gen.plan.grid import GenerationSettings
    from gen.plan.plan import Plan

DEFAULT_BUNDLE = Path("bundle")


def plan(
    out: Annotated[Path | None, typer.Option(help="Where to write it: .csv or .parquet.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Print cells, forwards per image and time.")] = False,
    table: Annotated[Path | None, typer.Option(help="Rows of your own: CSV or parquet, a class column.")] = None,
    preset: Annotated[str | None, typer.Option(help="sagers2023 (the paper) or fast.")] = None,
    engine: Annotated[Path, typer.Option(help="Bundle that names classes, groups and size.")] = DEFAULT_BUNDLE,
    classes: Annotated[str | None, typer.Option(help="Comma-separated [default: the bundle's].")] = None,
    groups: Annotated[str | None, typer.Option(help="Skin types [default: the bundle's].")] = None,
    strategy: Annotated[
        str | None, typer.Option(help="text-to-image, image-to-image, inpaint, outpaint, inpaint-outpaint.")
    ] = None,
    per_cell: Annotated[int | None, typer.Option(help="Images per class and skin type, from text.")] = None,
    cells: Annotated[Path | None, typer.Option(help="Table of class, group, n.")] = None,
    balance: Annotated[Path | None, typer.Option(help="Real data to bring to equal cells.")] = None,
    from_predictions: Annotated[
        Path | None, typer.Option(help="Predictions table: more where it errs, with --total and --floor.")
    ] = None,
    total: Annotated[int, typer.Option(help="Images in all, with --from-predictions.")] = 1000,
    floor: Annotated[int, typer.Option(help="At least this many per cell.")] = 8,
    group_column: Annotated[str, typer.Option(help="Skin-type column of the predictions.")] = "group",
    parents: Annotated[Path | None, typer.Option(help="Real images: shards or a folder.")] = None,
    per_parent: Annotated[int | None, typer.Option(help="Images per real image.")] = None,
    to_groups: Annotated[str | None, typer.Option(help="Draw each parent in these skin types.")] = None,
    mask: Annotated[str | None, typer.Option(help="centre, lesion, ellipse or rectangle.")] = None,
    strength: Annotated[float | None, typer.Option(help="How far from the parent, 0 to 1.")] = None,
    refill: Annotated[Path | None, typer.Option(help="Plan whose dropped images to make again.")] = None,
    kept: Annotated[
        Path | None, typer.Option(help="With --refill: shards or a table of the ids that were kept.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Template with {class} and {group} or {fst}.")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What not to draw.")] = None,
    solver: Annotated[
        str | None, typer.Option(help="ddim, euler, dpmsolver++, unipc, lcm; with :karras and so on.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Solver steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    guidance_interval: Annotated[
        str | None, typer.Option(help="Noise levels LOW:HIGH that are guided, as 0.28:5.42.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Pixels [default: the bundle's].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all noise.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Lay out what to generate: a row an image, deterministic to the byte.

    A plan says nothing of the weights: the paper's two arms are one plan, sampled with a pretrained bundle and with
    a fine-tuned one.

    Example: gen plan --preset sagers2023 --parents ./real --engine ./my-bundle --out plan.csv --show
    """
    from engines.bundle import read_bundle
    from gen.plan import grid
    from gen.plan.cells import group_or_none
    from gen.plan.plan import from_rows, load
    from gen.plan.plan import refill as refill_plan

    if out is None and not show:
        raise UserError("nothing to do; give --out FILE to write the plan, --show to look at it, or both")
    spec = read_bundle(engine).manifest.spec if (engine / "bundle.json").is_file() else None
    if spec is None and engine != DEFAULT_BUNDLE:
        raise UserError(f"no engine bundle at {engine}; make one with `gen build-engine --out {engine}`")
    settings = settings_for(
        preset,
        spec,
        strategy=strategy,
        per_parent=per_parent,
        mask=mask,
        strength=strength,
        negative_prompt=negative_prompt,
        solver=solver,
        steps=steps,
        guidance=guidance,
        guidance_interval=guidance_interval,
        size=size,
        seed=seed,
    )
    if refill is not None:
        if kept is None:
            raise UserError("--refill needs --kept: the shards, or a table, of the images that were kept")
        made = refill_plan(load(refill), kept_ids(kept))
    elif table is not None:
        made = load(table, row_defaults(settings, spec, prompt))
    else:
        found = parent_rows(parents, listed(classes))
        counts: Counts = {}
        if "text-to-image" in settings.strategies:
            counts = count_cells(
                spec,
                listed(classes),
                listed(groups),
                per_cell=per_cell,
                cells=cells,
                balance=balance,
                predictions=from_predictions,
                total=total,
                floor=floor,
                group_column=group_column,
                parents=found,
                per_parent=settings.per_parent,
            )
        own = [] if found is None else [group_or_none(group) for group in found["group"]]
        named = [group for _, group in counts] or own
        template = prompt or settings.template or template_of(spec, named)
        made = from_rows(grid.rows(settings, template, counts, found, listed(to_groups)))
    cost = expected_cost(made, engine, spec)  # finds a solver or a count of steps that cannot be, too
    if out is not None:
        made.save(out)
    report = {"rows": len(made), "digest": made.digest, "file": None if out is None else str(out), **cost}
    if json:
        console.print_json(report | {"cells": made.cells().to_dict()})
        return
    if show:
        print_plan(made, report)
    if out is not None:
        console.out.print(f"{out}: {len(made)} images, digest {made.digest}", soft_wrap=True)


def settings_for(preset: str | None, spec: PipelineSpec | None, **given: Any) -> GenerationSettings:
    """The settings of a preset, with what was given in their place."""
    from gen.plan.grid import PRESETS, GenerationSettings

    if preset is not None and preset not in PRESETS:
        raise UserError(f"unknown preset {preset!r}; expected one of {', '.join(PRESETS)}")
    settings = PRESETS[preset] if preset else GenerationSettings()
    changes = {key: value for key, value in given.items() if value is not None}
    if "strategy" in changes:
        changes["strategies"] = tuple(listed(changes.pop("strategy")) or ())
    if "guidance_interval" in changes:
        changes["guidance_interval"] = parse_interval(changes["guidance_interval"])
    if spec is not None and "size" not in changes:
        changes["size"] = spec.size
    return replace(settings, **changes)


def count_cells(
    spec: PipelineSpec | None,
    classes: list[str] | None,
    groups: list[str] | None,
    *,
    per_cell: int | None = None,
    cells: Path | None = None,
    balance: Path | None = None,
    predictions: Path | None = None,
    total: int = 0,
    floor: int = 0,
    group_column: str = "group",
    parents: pd.DataFrame | None = None,
    per_parent: int = 1,
) -> Counts:
    """Images per cell: from a table, real data, a classifier's errors, parents, or the same in each."""
    from gen.plan import cells as cells_module
    from gen.plan.grid import of_parents

    if sum(way is not None for way in (cells, balance, predictions)) > 1:
        raise UserError("--cells, --balance and --from-predictions exclude each other; give one of them")
    if per_cell is not None and per_cell < 1:
        raise UserError(f"--per-cell {per_cell}; expected at least 1 image a cell")
    if cells is not None:
        return cells_module.from_table(cells)
    if per_cell is None and balance is None and predictions is None and parents is not None:
        return of_parents(parents, per_parent)
    if spec:
        _refuse_unknown("class", classes, spec.classes)
        _refuse_unknown("skin type", groups, spec.groups)
    labels = classes or (spec.classes if spec else None)
    if not labels:
        raise UserError("no classes: give --classes, or --engine with a bundle that names those of its model")
    members = groups or (spec.groups if spec else None)
    if balance is not None:
        from shards.ingest.folder import open_data

        wanted = list(cells_module.uniform(labels, members, 0))
        return cells_module.balanced(open_data(balance).rows, wanted, per_cell)
    if predictions is not None:
        wanted = list(cells_module.uniform(labels, members, 0))
        return cells_module.from_errors(predictions, wanted, total, floor, group_column)
    return cells_module.uniform(labels, members, 32 if per_cell is None else per_cell)


def template_of(spec: PipelineSpec | None, groups: list[str | None]) -> str:
    """The pipeline's own prompt template, or the paper's."""
    from gen.plan.prompts import template_for

    return spec.prompt_template if spec and spec.prompt_template else template_for(any(groups))


def row_defaults(settings: GenerationSettings, spec: PipelineSpec | None, prompt: str | None) -> dict[str, Any]:
    """What a user's table may leave out."""
    chosen = {
        "solver": settings.solver,
        "steps": settings.steps,
        "guidance": settings.guidance,
        "size": settings.size,
        "seed": settings.seed,
        "guidance_interval": settings.guidance_interval,
        "prompt": prompt or settings.template or (spec.prompt_template if spec else None),
    }
    return {key: value for key, value in chosen.items() if value is not None}


def parent_rows(parents: Path | None, classes: list[str] | None) -> pd.DataFrame | None:
    """The real images that may be drawn from, of some classes."""
    if parents is None:
        return None
    from gen.plan.parents import Parents
    from shards.ingest.folder import open_data

    rows = Parents(open_data(parents), parents).usable()
    return rows if classes is None else rows[rows["class"].isin(classes)]


def kept_ids(kept: Path) -> list[str]:
    """The ids that a filter kept: of shards, or of a table (its rows with a true `kept` column, if it has one)."""
    if kept.is_dir():
        from shards.ingest.folder import open_data

        return [str(name) for name in open_data(kept).rows["id"]]
    from dermforge.common.tables import read_table

    rows = read_table(kept)
    if "id" not in rows.columns:
        raise UserError(f"{kept} has no id column; it has {', '.join(rows.columns)}")
    if "kept" in rows.columns:
        rows = rows[rows["kept"].astype(str).str.lower().isin(["true", "1", "yes"])]
    return [str(name) for name in rows["id"]]


def expected_cost(made: Plan, engine: Path, spec: PipelineSpec | None) -> dict[str, float]:
    """Forwards per image, and seconds from the speed that the bundle measured when it was built."""
    from engines.bundle import TIMINGS
    from gen.plan.cost import forwards, seconds

    scheduler = spec.scheduler if spec else {}
    per_image = forwards(made, scheduler) / len(made)
    return {"forwards_per_image": per_image, "expected_seconds": seconds(engine / TIMINGS, per_image, len(made))}


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
    console.out.print(f"{ways}; {report['forwards_per_image']:.1f} UNet rows an image; time: {clock}", soft_wrap=True)


def listed(text: str | None) -> list[str] | None:
    """A comma-separated option."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def parse_interval(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        interval = float(low), float(high)
    except ValueError as error:
        raise UserError(f"guidance interval {text!r}; expected LOW:HIGH in noise levels, as 0.28:5.42") from error
    if not 0 <= interval[0] < interval[1]:
        raise UserError(f"guidance interval {text!r}; expected it to rise from 0 or more")
    return interval


def _refuse_unknown(what: str, asked: list[str] | None, known: list[str] | None) -> None:
    if asked and known and (strange := [one for one in asked if one not in known]):
        raise UserError(
            f"unknown {what} {', '.join(strange)}; the bundle's model knows {', '.join(known)}: "
            "choose from these, or tune the model first (`gen finetune`)"
        )
