"""`bench statistics`: what the intervals of the fairness suite hold, by simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from dermforge.common import console
from dermforge.common.errors import CheckFailed, UserError
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
    if not any(only in e.name for e in experiments()):
        raise UserError(f"no experiment has {only!r} in its name; `bench statistics --share 0` lists them")
    chosen = [e for e in experiments()[index::count] if only in e.name]
    if share:
        missing = sum(max(0, simulate.lots(e, share) - simulate.read(out, e.name).lots) for e in chosen)
        with console.progress("simulation", missing * simulate.LOT, "tables") as tick:
            for experiment in chosen:
                simulate.simulate(experiment, out, share, tick)
    rows = [row for e in chosen for row in simulate.read(out, e.name).rows()]
    if as_json:
        console.print_json({"rows": [row._asdict() for row in rows]})
    else:
        table = Table(title="Simulated")
        for name in ("experiment", "outcome", "percent", "tables", "bar"):
            table.add_column(name)
        for row in rows:
            percent = f"{row.percent:.1f} ({row.error:.1f})"
            table.add_row(row.experiment, row.outcome, percent, str(row.tables), row.missed or "met")
        console.out.print(table)
    missed = [row for row in rows if row.missed]
    if missed:
        raise CheckFailed(f"{len(missed)} of {len(rows)} percentages miss their bar")
