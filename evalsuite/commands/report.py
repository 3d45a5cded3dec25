"""`evalsuite report`: one page of finished runs and studies, or a checklist of a guideline that they fill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dermforge.common.console import print_json, progress, say
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim
from evalsuite.report.guidelines import names

if TYPE_CHECKING:
    from evalsuite.page.blocks import Report
    from evalsuite.report.guidelines.artefacts import Trial


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of run, study, quality, tone, privacy, filter, reader-study; with --guideline also of "
            "fairness and use, an engine bundle, and images."
        ),
    ],
    folder: Annotated[Path | None, typer.Option("--out", help="Where to write. [default: the first folder]")] = None,
    guideline: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Write a checklist in place of the page: {', '.join(names.GUIDELINES)}. May be given again."
        ),
    ] = None,
    n_boot: Annotated[int, typer.Option(min=100, help="Resamples of the intervals.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Write one self-contained HTML page (and JSON and CSV) of finished runs and studies.

    What was measured on the images comes in one part: fidelity, diversity, utility, privacy, fairness.

    With --guideline: a checklist as HTML, Markdown and JSON, in which each item is filled from the artefacts, is for
    the author to write, or does not apply; and a methods paragraph with its BibTeX. All folders are then of one study.

    Example: evalsuite report runs/first runs/study --out runs/report
    """
    if guideline:
        _checklists(folders, folder, names.known(guideline), n_boot, as_json)
        return
    from evalsuite.page.image_check import SECTION, read_check
    from evalsuite.page.render import PAGE, write_page
    from evalsuite.report import images_report
    from evalsuite.study.design import PLAN

    if folder is not None and folder.resolve() not in [place.resolve() for place in folders]:
        claim(folder, "a report", [PAGE])
    reports, measured = [], []
    with progress("report", len(folders), "runs") as tick:
        for place in folders:
            if (place / SECTION).is_file() and not (place / PLAN).is_file():
                measured.append(read_check(place / SECTION))
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

    found = _analysed(place, n_boot)
    return study_report.report(found.study) if found.run is None else run_report.report(found.run)


def _analysed(place: Path, n_boot: int) -> Trial:
    """What a run or a study shows; its JSON and CSV are written again."""
    from evalsuite.page.image_check import SECTION
    from evalsuite.report.guidelines.artefacts import Trial
    from evalsuite.study import analysis, run_findings, study_findings
    from evalsuite.study.design import PLAN, read_design

    if not place.is_dir():
        raise UserError(f"no folder {place}; expected what `evalsuite run`, `study` or a measurement wrote")
    if not (place / PLAN).is_file():
        raise UserError(
            f"{place} holds no run or study ({PLAN}) and no measurement ({SECTION}); make one with "
            "`evalsuite run`, `study`, `quality`, `tone`, `privacy`, `filter` or `reader-study`"
        )
    name = place.resolve().name
    if read_design(place).kind == "study":
        study = analysis.analyse(place, n_boot=n_boot)
        study_findings.write_record(study, place)
        return Trial(name, study_findings.RECORD, study)
    found = run_findings.find(place, n_boot=n_boot)
    run_findings.write_record(found, place)
    return Trial(name, run_findings.RECORD, found.study, found)


def _checklists(
    folders: list[Path], folder: Path | None, guidelines: list[names.Guideline], n_boot: int, as_json: bool
) -> None:
    """Fill the guidelines from the folders of one study, and say how far that goes."""
    from evalsuite.report.guidelines import write
    from evalsuite.report.guidelines.artefacts import gather
    from evalsuite.study.design import PLAN

    trials = [place for place in folders if (place / PLAN).is_file()]
    if len(trials) > 1:
        raise UserError(f"{trials[0]} and {trials[1]} are both runs or studies; a checklist is of one")
    out = write.place(folders, trials, folder)
    with progress("checklist", len(folders), "folders") as tick:
        trial = _analysed(trials[0], n_boot) if trials else None
        tick(len(trials))
        others = [place for place in folders if place not in trials]
        found = gather(trial, others)
        tick(len(others))
    filled = write.write(guidelines, found, out)
    if as_json:
        print_json({"out": str(out), "guidelines": {one.name: write.counts(one) for one in filled}})
        return
    for text in found.notes:
        say(text)
    for one in filled:
        say(f"{one.name}: {one.sentence()} {out / one.name}.html")
    say(f"methods paragraph: {out / write.METHODS}, {out / write.BIBTEX}")
