"""`evalsuite report`: one page of finished runs and studies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from evalsuite import run as runs
from evalsuite import study_analysis, study_record
from evalsuite.quality.section import to_page
from evalsuite.report import of_run, of_study
from evalsuite.report.page import Report, Section, Verdict
from evalsuite.report.write import write
from shards.console import out, print_json, progress
from shards.errors import UserError


def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders of run, study, tone, quality, privacy, filter.")],
    folder: Annotated[Path | None, typer.Option("--out", help="Where to write. [default: the first folder]")] = None,
    n_boot: Annotated[int, typer.Option(min=100, help="Resamples of the intervals.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Write one self-contained HTML page (and JSON and CSV) of finished runs and studies.

    Example: evalsuite report runs/first runs/study --out runs/report
    """
    reports = []
    with progress("report", len(folders), "runs") as tick:
        for place in folders:
            reports.append(_one(place, n_boot))
            tick()
    page = write(reports, folder or folders[0])
    if as_json:
        print_json({"report": str(page), "verdicts": {r.title: r.verdict.sentence for r in reports}})
        return
    for made in reports:
        out.print(made.verdict.sentence, markup=False, soft_wrap=True)
    out.print(f"report: {page}", markup=False, soft_wrap=True)


def _one(place: Path, n_boot: int) -> Report:
    """The report of a folder, whichever kind of job made it; its JSON and CSV are written anew."""
    plan, measured = place / "plan.json", place / "section.json"
    if measured.is_file() and not plan.is_file():
        return _measured(measured)
    if not plan.is_file():
        raise UserError(f"{place} holds no run or study (plan.json); make one with `evalsuite run`")
    try:
        kind = json.loads(plan.read_bytes()).get("kind")
    except json.JSONDecodeError as error:
        raise UserError(f"{plan} is not JSON ({error}); run the job again") from error
    if kind == "study":
        found = study_analysis.analyse(place, n_boot=n_boot)
        study_record.write_record(found, place)
        return of_study.report(found)
    analysis = runs.analyse(place, n_boot=n_boot)
    runs.write_record(analysis, place)
    return of_run.report(analysis)


def _measured(path: Path) -> Report:
    """What `evalsuite tone`, `quality`, `privacy` or `filter` left behind."""
    try:
        part = json.loads(path.read_bytes())
        made = to_page(part)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a report section ({error}); run the command that wrote it again") from error
    return Report(made.title, Verdict(str(made.blocks[0]), []), [Section("What was measured", made.blocks[1:])])
