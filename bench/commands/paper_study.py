"""`bench paper --study`: the published study, repeated on phantoms or on somebody's photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table
from rich.text import Text

from bench.commands.show import note
from dermforge.common import console
from dermforge.common.numbers_list import numbers
from dermforge.common.tracking import check_tools

COLOURS = {"agrees": "green", "does not agree": "red"}


def repeat_study(
    work: Path,
    out: Path | None,
    as_json: bool,
    n_real: str | None,
    ratios: str | None,
    seeds: int | None,
    base: list[str] | None,
    photographs: Path | None,
    strategies: str | None,
    size: int | None,
    classifier_steps: int | None,
    metric: str | None,
    track: Sequence[str] | None,
) -> None:
    """Do what is left of the study in a folder, and show its claims beside the published ones."""
    from bench.suites.published_study.conduct_study import conduct_study, publish
    from bench.suites.published_study.settings import StudySettings
    from evalsuite.training.data import datasets

    given = {
        "sizes": tuple(numbers(n_real, "--n-real", int, 1)) or None,
        "ratios": tuple(numbers(ratios, "--ratios", float, 0)) or None,
        "seeds": seeds,
        "bases": tuple(base or ()) or (("own-images",) if photographs else None),
        "photographs": datasets.digest(datasets.Places(real=photographs)) if photographs else None,
        "strategies": tuple(word.strip() for word in strategies.split(",")) if strategies else None,
        "size": size,
        "classifier_steps": classifier_steps,
        "metric": metric,
    }
    settings = StudySettings.check(**{name: value for name, value in given.items() if value is not None})
    check_tools(track or ())
    found = conduct_study(
        work, settings, photographs=photographs, progress=console.progress, say=note, track=track or ()
    )
    rows = [row for one in found for row in one.claims]
    if out is not None:
        publish(found, settings, out)
    if as_json:
        console.print_json([asdict(row) for row in rows])
        return
    table = Table("generators from", "claim", "where", "published", "ours", "")
    for row in rows:
        where = f"{row.strategy}, {row.size} real"
        table.add_row(
            row.base, row.claim, where, row.published, row.ours, Text(row.answer, COLOURS.get(row.answer, ""))
        )
    console.out.print(table)
    for one in found:
        console.say(f"report: {one.page}")
