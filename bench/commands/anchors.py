"""`bench anchors`: published throughputs next to ours."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench.commands.show import number
from bench.measure.record import records
from bench.peers.anchors import ANCHORS, Anchor, not_comparable
from bench.peers.anchors import ours as measured
from dermforge.common import console
from dermforge.common.errors import UserError


def anchors(
    results: Annotated[Path | None, typer.Argument(help="engine.json, or its folder, to compare them with.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Published throughputs next to ours, and what prevents a comparison.

    Example: bench anchors results
    """
    mine: list[Anchor] = []
    if results:
        engines = [r for r in records(results) if r.command == "engine"]
        if not engines:
            raise UserError(f"{results} holds no result of `bench engine`; expected engine.json")
        mine = [one for record in engines for one in measured(record)]
    listed = [(a, "; ".join(not_comparable(a, mine[0])) if mine else a.caveat) for a in ANCHORS]
    if as_json:
        console.print_json(
            {"ours": [asdict(a) for a in mine], "published": [asdict(a) | {"not comparable": why} for a, why in listed]}
        )
        return
    table = Table(
        "who",
        "device",
        "model",
        "steps",
        "batch",
        "images/s",
        "TFLOP/s",
        "not comparable with ours because" if mine else "remarks",
    )
    for a, why in [*((one, "measured here") for one in mine), *((a, why) for a, why in listed)]:
        table.add_row(
            a.who,
            a.device,
            a.model,
            str(a.steps),
            str(a.batch or "?"),
            number(a.images_per_second),
            number(a.tflops),
            why,
        )
    console.out.print(table)
