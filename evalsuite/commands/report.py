"""`evalsuite report`: one page of finished runs and studies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from dermforge.common.console import print_json, progress, say
from dermforge.common.errors import UserError, first_fault
from dermforge.common.output_folder import claim
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import opened_json

if TYPE_CHECKING:
    from evalsuite.page.blocks import Report
    from evalsuite.page.image_check import ImageCheck

SECTION = "section.json"


def report(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of run, study, quality, tone, privacy, filter, reader-study.")
    ],
    folder: Annotated[Path | None, typer.Option("--out", help="Where to write. [default: the first folder]")] = None,
    n_boot: Annotated[int, typer.Option(min=100, help="Resamples of the intervals.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Write one self-contained HTML page (and JSON and CSV) of finished runs and studies.

    What was measured on the images comes in one part: fidelity, diversity, utility, privacy, fairness.

    Example: evalsuite report runs/first runs/study --out runs/report
    """
    from evalsuite.page.render import PAGE, write_page
    from evalsuite.report import images_report
    from evalsuite.study.design import PLAN

    if folder is not None and folder.resolve() not in [place.resolve() for place in folders]:
        claim(folder, "a report", [PAGE])
    reports, measured = [], []
    with progress("report", len(folders), "runs") as tick:
        for place in folders:
            if (place / SECTION).is_file() and not (place / PLAN).is_file():
                measured.append(_measured(place / SECTION))
            else:
                reports.append(_one(place, n_boot))
            tick()
    if measured:
        reports.append(images_report.report(measured))
    page = write_page(reports, folder or folders[0])
    if as_json:
        print_json({"report": str(page), "verdicts": {r.title: r.answer.sentence for r in reports}})
        return
    for made in reports:
        say(made.answer.sentence)
    say(f"report: {page}")


def _one(place: Path, n_boot: int) -> Report:
    """The report of a run or a study; its JSON and CSV are written again."""
    from evalsuite.report import run_report, study_report
    from evalsuite.study import analysis, run_findings, study_findings
    from evalsuite.study.design import PLAN, read_design

    if not place.is_dir():
        raise UserError(f"no folder {place}; expected what `evalsuite run`, `study` or a measurement wrote")
    if not (place / PLAN).is_file():
        raise UserError(
            f"{place} holds no run or study ({PLAN}) and no measurement ({SECTION}); make one with "
            "`evalsuite run`, `study`, `quality`, `tone`, `privacy`, `filter` or `reader-study`"
        )
    if read_design(place).kind == "study":
        study = analysis.analyse(place, n_boot=n_boot)
        study_findings.write_record(study, place)
        return study_report.report(study)
    found = run_findings.find(place, n_boot=n_boot)
    run_findings.write_record(found, place)
    return run_report.report(found)


def _measured(path: Path) -> ImageCheck:
    """What `evalsuite quality`, `tone`, `privacy`, `filter` or `reader-study` left behind."""
    from evalsuite.page.image_check import ImageCheck

    try:
        content = opened_json(read_regular(path), path, "run the command that wrote it again")
        return TypeAdapter(ImageCheck).validate_json(content)
    except ValidationError as error:
        raise UserError(
            f"{path} is not a report section ({first_fault(error)}); run the command that wrote it again"
        ) from error
