"""`bench statistics`: what the intervals of the fairness suite hold, by simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from dermforge.common import console
from dermforge.common.errors import CheckFailed
from dermforge.common.output_folder import claim


def statistics(
    out: Annotated[Path, typer.Option(help="Folder of the counts; a run goes on from what is there.")] = Path(
        "bench/results/statistics"
    ),
    share: Annotated[
        float,
        typer.Option(help="Of the tables of a full run, 0 to 1; 0 draws none and shows the counts.", min=0, max=1),
    ] = 1.0,
    worker: Annotated[str, typer.Option(help="I/N: every N-th experiment, from the I-th.")] = "0/1",
    only: Annotated[str, typer.Option(help="Experiments whose name holds this text.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Draw tables with a known truth and count how often intervals hold it and how often nothing is called something.

    Exit status 1 where a percentage misses its bar by more than two standard errors.

    Example: bench statistics --share 0.1
    """
    from bench.suites.statistics import simulate
    from bench.suites.statistics.experiments import experiments
    from gen.sampling.run_record import parse_worker

    index, count = parse_worker(worker)
    claim(out, "counts of simulations", [simulate.file_of(Path(), e.name).name for e in experiments()])
    chosen = [e for e in experiments()[index::count] if only in e.name]
    if share:
        missing = sum(max(0, simulate.lots(e, share) - simulate.read(out, e.name).lots) for e in chosen)
        with console.progress("simulation", missing * simulate.LOT, "tables") as tick:
            for experiment in chosen:
                simulate.simulate(experiment, out, share, tick)
    rows = [row for e in chosen for row in simulate.read(out, e.name).rows()]
    if as_json:
        names = ("experiment", "outcome", "percent", "error", "tables", "missed")
        console.print_json({"rows": [dict(zip(names, row, strict=True)) for row in rows]})
    else:
        table = Table(title="Simulated")
        for name in ("experiment", "outcome", "percent", "tables", "bar"):
            table.add_column(name)
        for name, outcome, percent, error, tables, beside in rows:
            table.add_row(name, outcome, f"{percent:.1f} ({error:.1f})", str(tables), beside or "met")
        console.out.print(table)
    missed = [row for row in rows if row[-1]]
    if missed:
        raise CheckFailed(f"{len(missed)} of {len(rows)} percentages miss their bar")
