"""How results are shown: tables, numbers for people, and the machine they were measured on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from bench.measure.device import Facts
from bench.measure.record import BenchmarkRecord, Measurement, save
from bench.measure.timing import spread
from dermforge.common import console

MISSING = "not enough data"


def deliver(record: BenchmarkRecord, out: Path | None, as_json: bool, title: str = "") -> None:
    """End a benchmark: save the record if a folder is given, and print it as JSON or as a table."""
    if out:
        save(record, out)
    if as_json:
        console.print_json(record.model_dump(mode="json"))
    else:
        show(record, title)


def show(record: BenchmarkRecord, title: str = "") -> None:
    """Print a record as a table, and the machine it ran on."""
    console.out.print(measured(record.measurements, title))
    console.say(where(record.facts))
    warn_of_load(record.facts)


def warn_of_load(facts: Facts) -> None:
    """Say so if other processes were busy just before the benchmark."""
    if not facts.quiet:
        said = f"other processes used {facts.load:.0%} of the cores: do not quote these numbers"
        console.err.print(said, style="yellow", soft_wrap=True)


def measured(found: Sequence[Measurement], title: str = "") -> Table:
    """Measurements as a table."""
    table = Table(title=title or None, title_justify="left")
    table.add_column("measured", overflow="fold")  # two names must never look alike
    for name in ("median", "quartiles", "unit", "n", "with"):
        table.add_column(name)
    for m in found:
        low, high = spread(m.samples)
        quartiles = f"{number(low)} to {number(high)}" if len(m.samples) > 1 else ""
        extra = ", ".join(f"{k} {number(v) if isinstance(v, float) else v}" for k, v in m.details.items())
        table.add_row(m.name, number(m.median), quartiles, m.unit, str(len(m.samples)), extra)
    return table


def where(facts: Facts) -> str:
    """One line on the machine and the versions."""
    driver = f", driver {facts.driver}, CUDA {facts.cuda}" if facts.kind == "cuda" else f", {facts.threads} threads"
    packages = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    return f"{facts.device}{driver}; {packages}; commit {facts.commit}; {facts.date}"


def number(value: float) -> str:
    """Four significant figures; NaN is "not enough data"."""
    if math.isnan(value):
        return MISSING
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return f"{value:.3e}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def note(text: str) -> None:
    """A line on stderr, as it is."""
    console.err.print(text, soft_wrap=True)
