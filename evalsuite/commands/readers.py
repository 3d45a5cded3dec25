"""`evalsuite readers TABLE`: do readers read better with help, and for whom?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from dermforge.common import console
from dermforge.common.as_json import document
from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim
from dermforge.common.unused_options import used_only
from evalsuite.readers.choices import CovarianceMethod, Fixed, Metric

if TYPE_CHECKING:
    from evalsuite.readers.analysis import ReaderAnalysis


@used_only("with a sensitivity or a specificity", lambda given: given["metric"] != "auroc", "threshold")
def readers(
    table: Annotated[Path, typer.Argument(help="ratings: a row for each reader, case and modality")],
    against: Annotated[
        str, typer.Option(help="modality that the others are compared with [default: the first in the table]")
    ] = "",
    metric: Annotated[Metric, typer.Option(help="figure of merit")] = Metric.auroc,
    threshold: Annotated[
        float | None, typer.Option(help="rating from which a case is called positive, for a sensitivity or specificity")
    ] = None,
    fixed: Annotated[
        Fixed, typer.Option(help="what the answer does not reach beyond; choose it before the study")
    ] = Fixed.neither,
    method: Annotated[
        CovarianceMethod, typer.Option(help="how covariances are estimated")
    ] = CovarianceMethod.jackknife,
    positive: Annotated[str, typer.Option(help="word in the column truth for a positive case [default: 1]")] = "",
    groups: Annotated[str, typer.Option(help="column of the cases' group, such as the skin type")] = "",
    cluster: Annotated[str, typer.Option(help="column of the cases' patient")] = "",
    columns: Annotated[
        str, typer.Option(help="ROLE=COLUMN, separated by commas: reader, case, modality, truth, rating")
    ] = "",
    drop_incomplete: Annotated[
        bool, typer.Option("--drop-incomplete", help="leave out cases that lack a rating, and say how many")
    ] = False,
    margin: Annotated[float, typer.Option(min=0, max=1, help="difference that does not matter")] = 0.02,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="of the intervals")] = 0.95,
    out: Annotated[Path | None, typer.Option(help="folder for the page, JSON and CSV")] = None,
    json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Compare readers with and without help: multi-reader multi-case (MRMC) analysis, also by skin type.

    Columns: reader, case, modality (such as alone, with help), truth (0 or 1) and rating (higher: surer of the
    finding). Obuchowski-Rockette and Dorfman-Berbaum-Metz with Hillis' degrees of freedom.

    Example: evalsuite readers ratings.csv --against alone --groups fst --cluster patient --out readers/

    Yes or no instead of a rating: evalsuite readers calls.csv --metric sensitivity --threshold 1
    """
    from evalsuite.readers import analysis, ratings
    from evalsuite.report import readers_report

    settings = analysis.ReaderSettings(
        metric, math.nan if threshold is None else threshold, method, fixed, confidence, margin
    )
    if out is not None:
        claim(out, "a comparison of readers", ["readers.json"])
    reading = ratings.Reading(_roles(columns, ratings.ROLES), positive, against, cluster, groups, drop_incomplete)
    found = analysis.analyse(ratings.load(table, reading), settings, groups)
    page = readers_report.report(found)
    if out is not None:
        from dermforge.common.csv_cells import csv_bytes
        from evalsuite.page.render import page as whole_page

        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / "readers.json", document(found.to_dict()).encode())
        write_whole(out / "readers.csv", csv_bytes(found.readers))
        write_whole(out / "readers.html", whole_page([page]).encode())
    if json:
        console.print_json(found.to_dict())
        return
    _show(found)
    for line in (page.answer.sentence, *page.answer.details, *page.notes):
        console.say(line)
    if out is not None:
        console.say(f"written: {out}/readers.html, readers.json, readers.csv")


def _roles(words: str, known: tuple[str, ...]) -> dict[str, str]:
    """`reader=rad,case=image` as a mapping."""
    found: dict[str, str] = {}
    for word in filter(None, (w.strip() for w in words.split(","))):
        role, _, column = (part.strip() for part in word.partition("="))
        if role not in known or not column:
            raise UserError(f"--columns: {word!r}; expected ROLE=COLUMN with one of {', '.join(known)}")
        if role in found:
            raise UserError(f"--columns: {role} is named twice; name it once")
        found[role] = column
    return found


def _show(found: ReaderAnalysis) -> None:
    from evalsuite.page.blocks import number
    from evalsuite.report.readers_report import interval, label, p_text

    shown = Table(title=f"{label(found)} of {len(found.reader_names)} readers")
    for name in ("reader", *found.modalities):
        shown.add_column(name)
    for place, reader in enumerate(found.reader_names):
        shown.add_row(reader, *(number(row[place]) for row in found.whole.figures))
    shown.add_row("mean", *(number(row.mean()) for row in found.whole.figures))
    console.out.print(shown)
    for one in found.groups:
        difference = one.difference(found.settings.fixed)
        said = (
            f"not judged: {one.lacking}"
            if difference is None
            else (
                f"{difference.value:+.3f} ({interval(difference.low, difference.high)}), Holm p {p_text(one.p_holm)}: "
                f"{one.verdict(found.settings)}"
            )
        )
        console.say(f"{found.group_column} {one.name}: {one.cases} cases, {one.positive} positive; {said}")
