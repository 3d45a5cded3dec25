"""From generators to classifiers and claims."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bench.measure.device import describe
from bench.suites.published_study.claims import Row, claims
from bench.suites.published_study.dose_figure import DoseTables, draw
from bench.suites.published_study.generators import Generators
from bench.suites.published_study.settings import RECORD, Base, StudySettings
from dermforge.common.atomic import write_whole
from dermforge.common.csv_cells import csv_bytes
from dermforge.common.errors import UserError
from dermforge.common.progress import Progress, silent
from dermforge.common.sealed_file import sealed_json
from dermforge.common.tracking import tracked
from evalsuite.page.render import write_page
from evalsuite.report import study_report
from evalsuite.report.tracked_page import track_page
from evalsuite.study import analysis, conduct, study_findings, track_arms
from evalsuite.study.design import PLAN, PRESETS, Grid, new_study, read_design
from evalsuite.study.run_arms import Options
from evalsuite.training.data import datasets, held_out
from evalsuite.training.pretrained import settled_recipe
from shards.storage.turn import turn

DOSE_FIGURE, MACHINE = "dose_response.svg", "machine.json"
TABLES = ("scores", "gains", "contrasts", "saturation", "further", "exchange", "laws")


@dataclass(frozen=True)
class Findings:
    """What came out for one base: the analysis, its record, and the report's page."""

    base: Base
    analysis: analysis.Analysis
    record: dict[str, Any]
    page: Path

    @property
    def claims(self) -> list[Row]:
        return claims(self.base, self.record)


def publish(found: Sequence[Findings], settings: StudySettings, out: Path) -> None:
    """Write what is small: claims, settings, machine, the curve; for each base its tables and the report's page.

    A page shows synthetic images. It stays where it is if photographs are behind them.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = [asdict(row) for one in found for row in one.claims]
    write_whole(out / "claims.csv", csv_bytes(pd.DataFrame(rows)))
    write_whole(out / RECORD, sealed_json(settings.model_dump_json(indent=1)))
    facts = describe(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    write_whole(out / MACHINE, sealed_json(facts.model_dump_json(indent=1)))
    for one in found:
        folder = out / one.base
        folder.mkdir(exist_ok=True)
        for name in filter(one.record.get, TABLES):
            shutil.copyfile(one.page.parent / f"{name}.csv", folder / f"{name}.csv")
        if settings.photographs is None:
            write_whole(folder / one.page.name, _without_places(one.page).encode())
    curves: dict[str, DoseTables] = {
        one.base: DoseTables.read(out / one.base, one.analysis.design.margin, settings.metric) for one in found
    }
    write_whole(out / DOSE_FIGURE, draw(curves).encode())


def _without_places(page: Path) -> str:
    """A report's page, with the places of its images as they are in the study's folder."""
    return page.read_text(encoding="utf-8").replace(escape(f"{page.parent.parent}/"), "")


def conduct_study(
    work: Path,
    settings: StudySettings,
    *,
    photographs: Path | None = None,
    n_boot: int = 500,
    workers: int | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
    track: Sequence[str] = (),
) -> list[Findings]:
    """Do what is left of a study in a folder, a base after the other; findings go to WORK/study-BASE.

    Parameters
    ----------
    photographs
        Real photographs, with train/, validation/ and test/, where the settings name their digest.
    track
        Tools that also log the study of each base; its generators have logs of their own.

    Raises
    ------
    UserError
        The folder was begun with other settings, or another process is at it.
    """
    work.mkdir(parents=True, exist_ok=True)
    with turn(work, patience=0):
        settings.begin(work)
        made = Generators(work, settings, photographs, progress, say)
        made.refuse_too_many()
        cells = list(itertools.product(settings.sizes, range(settings.seeds)))
        for base in settings.bases:
            _refuse_to_shrink(work / f"study-{base}", {made.place(base, *cell).name for cell in cells})
        found = []
        for base in settings.bases:
            sets, out = [made.drawn(base, *cell) for cell in cells], work / f"study-{base}"
            found.append(_judge(base, made.real(), sets, out, settings, n_boot, workers, progress, track))
        return found


def _refuse_to_shrink(study: Path, sets: set[str]) -> None:
    """A study that has images of more generators does not go on with fewer; said before any more are drawn."""
    before = {place.name for place in read_design(study).places.synthetic} if (study / PLAN).is_file() else set()
    if gone := before - sets:
        raise UserError(
            f"{study} has images of {', '.join(sorted(gone))} too (n: real images of each class, s: the seed): ask for "
            "these sizes and seeds as well, or take another folder"
        )


def _judge(
    base: Base,
    real: Path,
    sets: list[Path],
    out: Path,
    settings: StudySettings,
    n_boot: int,
    workers: int | None,
    progress: Progress,
    track: Sequence[str],
) -> Findings:
    own = PRESETS["laptop"].recipe if settings.photographs is None else {"size": settings.size}
    recipe, note = settled_recipe(**{**own, "steps": settings.classifier_steps})
    places = datasets.Places(real=real, synthetic=tuple(sets), size=recipe.size)
    opened = datasets.open_data(places)
    leaks = held_out.check_held_out(opened, False)
    grid = Grid(
        sizes=settings.sizes,
        ratios=settings.ratios,
        seeds=settings.seeds,
        strategies=settings.strategies,
        arms=settings.arms,
        metric=settings.metric,
    )
    design = new_study(places, recipe, grid, leaks, notes=[note] if note else ())
    conduct.check(design, opened)
    with tracked(track, out, "paper", track_arms.settings_of_study(design)) as tracking:
        finished = track_arms.arm_logger(tracking, recipe.seed)
        conduct.execute(design, out, Options(workers, progress=progress, finished=finished))
        with progress("intervals", None, "arms") as tick:
            findings = analysis.analyse(out, n_boot=n_boot, tick=lambda n: tick(n))
        record = study_findings.write_record(findings, out)
        report = study_report.report(findings)
        tracking.outcome(track_arms.outcome_of_study(findings, out / study_findings.RECORD))
        track_page(tracking, report)
    return Findings(base, findings, record, write_page([report], out))
