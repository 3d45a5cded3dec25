"""`bench compare`: what changed between two results."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bench.commands.show import MISSING, number
from bench.measure.compare_records import MeasurementChange, differing_facts, only_in_one
from bench.measure.compare_records import compare as changes
from bench.measure.record import BenchmarkRecord, records
from dermforge.common import console
from dermforge.common.errors import CheckFailed, UserError

Records = list[BenchmarkRecord]
COLOUR = {"better": "green", "worse": "red", "changed": "yellow"}


def compare(
    before: Annotated[Path, typer.Argument(help="A result, or a folder of them.")],
    after: Annotated[Path, typer.Argument(help="Another one of the same commands.")],
    least: Annotated[float, typer.Option(help="Changes smaller than this fraction do not count.", min=0)] = 0.02,
    every: Annotated[bool, typer.Option("--all", help="List unchanged measurements too.")] = False,
    fail_on_worse: Annotated[bool, typer.Option(help="Exit status 1 when something is worse, for CI.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the changes as JSON.")] = False,
) -> None:
    """Say what changed beyond noise: exact Mann-Whitney test on the samples, and a change of at least --least.

    Each side needs at least four samples; with fewer the verdict is "not enough data".

    Example: bench compare before/engine.json after/engine.json --fail-on-worse
    """
    first, second = records(before), records(after)
    pairs = _pairs(first, second, before, after)
    for unmatched, place in ((_without(first, second), before), (_without(second, first), after)):
        if unmatched:
            console.warn(f"only in {place}, so not compared: {', '.join(unmatched)}")
    found = {one.command: changes(one, other, least) for one, other in pairs}
    differing = {one.command: differing_facts(one, other) for one, other in pairs}
    missing = {one.command: only_in_one(one, other) for one, other in pairs}
    if as_json:
        console.print_json(
            {
                command: {
                    "changes": [asdict(c) for c in listed],
                    "differing": differing[command],
                    "only in one": missing[command],
                }
                for command, listed in found.items()
            }
        )
    else:
        for command, listed in found.items():
            _show(command, listed, every)
            for name, (one, other) in differing[command].items():
                console.say(f"also different: {name}: {one} -> {other}")
            if missing[command]:
                console.say(f"only in one of them: {', '.join(missing[command])}")
    worse = [c.name for listed in found.values() for c in listed if c.verdict == "worse"]
    if worse and fail_on_worse:
        raise CheckFailed(f"{len(worse)} measurements are worse: {', '.join(worse[:5])}")


def _pairs(
    one: list[BenchmarkRecord], other: list[BenchmarkRecord], first: Path, second: Path
) -> list[tuple[BenchmarkRecord, BenchmarkRecord]]:
    theirs = {record.command: record for record in other}
    pairs = [(record, theirs[record.command]) for record in one if record.command in theirs]
    if not pairs:
        raise UserError(
            f"{first} holds {', '.join(r.command for r in one)} and {second} "
            f"{', '.join(theirs)}; give results of the same commands"
        )
    return pairs


def _without(one: Records, other: Records) -> list[str]:
    """Commands that one side has and the other lacks: a benchmark that failed leaves no result."""
    return sorted({record.command for record in one} - {record.command for record in other})


def _show(command: str, listed: list[MeasurementChange], every: bool) -> None:
    table = Table("measured", "before", "after", "ratio", "p", "verdict", title=command, title_justify="left")
    for c in listed:
        if every or c.verdict not in ("same", MISSING):
            table.add_row(
                c.name,
                number(c.before),
                number(c.after),
                f"{c.ratio:.3f}",
                number(c.p),
                Text(c.verdict, COLOUR.get(c.verdict, "white")),
            )
    same = sum(c.verdict == "same" for c in listed)
    unknown = sum(c.verdict == MISSING for c in listed)
    if table.row_count:
        console.out.print(table)
    console.out.print(f"{command}: {same} of {len(listed)} are the same, {unknown} have too few samples to tell")
