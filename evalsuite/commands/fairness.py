"""`evalsuite fairness TABLE`: the subgroup card of anybody's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from dermforge.common import console
from dermforge.common.as_json import document
from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError
from dermforge.common.least_numbers import GROUP_IMAGES
from dermforge.common.output_folder import claim
from evalsuite.fairness import disjoint, predictions
from evalsuite.fairness import merge as merging
from evalsuite.fairness.metric_key import MetricKey
from evalsuite.fairness.own_columns import OwnColumns
from evalsuite.fairness.predictions import Predictions

if TYPE_CHECKING:
    from evalsuite.fairness import label_noise
    from evalsuite.fairness.card import Card
    from evalsuite.fairness.comparison import Comparison
    from evalsuite.page import blocks
    from evalsuite.page.blocks import Report


def fairness(
    table: Annotated[Path, typer.Argument(help="predictions: parquet or CSV with id, label, prob_<class>..., groups")],
    groups: Annotated[str, typer.Option(help="group columns, separated by commas; Holm corrects over the first")],
    cluster: Annotated[str, typer.Option(help="column of the patient or duplicate family")] = "",
    weight: Annotated[str, typer.Option(help="column of survey or sampling weights")] = "",
    id_column: Annotated[str, typer.Option(help="column of the image's name")] = "id",
    label_column: Annotated[str, typer.Option(help="column of the true class")] = "label",
    prob_columns: Annotated[
        str, typer.Option(help="CLASS=COLUMN, separated by commas; one of two classes will do [default: prob_<class>]")
    ] = "",
    positive: Annotated[
        str, typer.Option(help="classes that count together against the rest, separated by commas")
    ] = "",
    primary: Annotated[
        str,
        typer.Option(
            help="metric of the answer: sensitivity, sensitivity@spec90, auroc, accuracy and so on "
            "[default: sensitivity with --positive, else accuracy]"
        ),
    ] = "",
    merge: Annotated[
        list[str] | None,
        typer.Option(help="groups to put together: I-II,III-IV,V-VI, or age=0-39,40-99; may be given again"),
    ] = None,
    contrast: Annotated[
        str,
        typer.Option(
            help="groups compared with all others, such as V-VI; none: no such comparison "
            "[default: the last of three or more merged ranges]"
        ),
    ] = "",
    prevalence: Annotated[
        float,
        typer.Option(min=0, max=0.999, help="share of the positive classes in use: PPV, NPV, net benefit; 0: none"),
    ] = 0.0,
    validation: Annotated[Path | None, typer.Option(help="validation predictions: they fix the thresholds")] = None,
    train: Annotated[
        Path | None, typer.Option(help="table with the ids that trained the model: refused if shared")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="predictions of a baseline on the same rows, to compare with")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="metric of the comparison and of the rater check [default: the primary one]")
    ] = "",
    margin: Annotated[float, typer.Option(min=0, max=1, help="loss that still counts as no worse")] = 0.02,
    rater_b: Annotated[str, typer.Option(help="a second rater's column for the first group column")] = "",
    noise: Annotated[
        float, typer.Option(help="share of skin types moved one step; -1: the raters' disagreement, or 0.2", max=1)
    ] = -1.0,
    specificity: Annotated[float, typer.Option(min=0.01, max=0.999, help="the fixed specificity")] = 0.9,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999)] = 0.95,
    min_count: Annotated[int, typer.Option(min=2, help="rows a number needs")] = GROUP_IMAGES,
    half_width: Annotated[float, typer.Option(min=0.005, max=0.5, help="half width of a useful interval")] = 0.1,
    seed: Annotated[int, typer.Option(help="of the relabelled skin types")] = 0,
    intersections: Annotated[bool, typer.Option(help="cross the group columns pairwise")] = True,
    out: Annotated[Path | None, typer.Option(help="folder for JSON, CSV, HTML and plots")] = None,
    json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Subgroup card of a table of predictions: metrics by group, and gaps between groups, with intervals and p.

    Example: evalsuite fairness test.parquet --groups fst,sex --cluster patient --validation val.parquet
    --out card/

    Of one class: evalsuite fairness test.parquet --groups fst --positive melanoma --merge I-II,III-IV,V-VI

    Of another classifier: evalsuite fairness mine.csv --groups fst --id-column image --label-column truth
    --prob-columns benign=p0,malignant=p1
    """
    from evalsuite.fairness import label_noise
    from evalsuite.fairness.card import CardSettings
    from evalsuite.fairness.compare_models import compare
    from evalsuite.fairness.compute_card import compute_card, steps
    from evalsuite.fairness.question import Question, as_asked
    from evalsuite.report import fairness_report

    if out is not None:
        claim(out, "a fairness card", ["card.json"])
    columns = list(_words(groups))
    keep = [*columns, *([rater_b] if rater_b else [])]
    _refuse_twice(keep)
    own = OwnColumns(id_column, label_column, _words(prob_columns))
    test = predictions.load(table, groups=keep, cluster=cluster or None, weight=weight or None, columns=own)
    held_out = (
        predictions.load(validation, groups=columns, cluster=_present(validation, cluster), columns=own).written_like(
            test
        )
        if validation
        else None
    )
    baseline = predictions.load(against, groups=[], cluster=None, columns=own).written_like(test) if against else None
    if train is not None:
        disjoint.refuse_training_rows(test, train, cluster or None, id_column)
    ranges = merging.parse(merge or (), columns)
    test = merging.merge(test, ranges, {rater_b: columns[0]} if rater_b else None)
    held_out = None if held_out is None else merging.merge(held_out, ranges, may_lack=True)
    question = Question(_words(positive), primary.strip(), merging.planned(contrast, ranges.get(columns[0], ())))

    if prevalence and not question.positive:
        raise UserError("--prevalence is that of the positive classes; name them with --positive")
    settings = CardSettings(
        seed, confidence, specificity, min_count, half_width, intersections, prevalence=prevalence or None
    )
    with console.progress("fairness card", steps(columns, settings, question), "columns") as tick:
        card = compute_card(test, columns, settings, validation=held_out, question=question, tick=lambda n: tick(n))
    key = MetricKey.parse(metric) if metric else card.primary._replace(threshold="")
    if key not in card.row():
        raise UserError(f"unknown metric {metric!r}; expected one of {', '.join(map(str, card.row().metrics))}")
    extra: dict[str, Any] = {}
    made: Comparison | None = None
    checked: label_noise.RaterCheck | None = None
    if baseline is not None:
        before, after = as_asked(baseline, key, question), as_asked(test, key, question)
        made = compare(before, after, columns, settings, metric=key, margin=margin)
        extra["comparison"] = made.to_dict()
    if rater_b or noise >= 0:
        checked = label_noise.check(
            as_asked(test, key, question),
            [columns[0], *([rater_b] if rater_b else [])],
            settings,
            metric=key,
            noise=None if noise < 0 else noise,
            contrast=question.contrast,
        )
        extra["raters"] = checked.to_dict()

    if out is not None:
        _write(out, card, test, fairness_report.report(card, test, made, checked), extra)
    if json:
        console.print_json({**card.to_dict(), **extra})
        return
    _print(card)
    if made is not None:
        console.out.print(_compared(made))
        console.say(made.no_worse_sentence())
    if checked is not None:
        for s in checked.scenarios:
            console.say(
                f"{s.name}: gap {s.difference:.3f} ({s.low:.3f} to {s.high:.3f}), worst {s.worst}; {s.conclusion}"
            )
        if checked.corrected is not None:
            console.say(f"corrected for disagreement of the raters: {checked.corrected.text()}")
    for note in card.notes:
        console.say(note)
    if out is not None:
        console.say(f"written: {out}/card.html, card.json, groups.csv, gaps.csv")


def _words(text: str) -> tuple[str, ...]:
    """The words between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _refuse_twice(names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"column {twice!r} is named twice in --groups and --rater-b; name each once")


def _present(path: Path | None, cluster: str) -> str | None:
    """The cluster column where a second table has it too; without it only ids can be compared."""
    if path is None or not cluster:
        return None
    return cluster if cluster in predictions.columns(path) else None


def _write(out: Path, card: Card, test: Predictions, page: Report, extra: dict[str, Any]) -> None:
    from dermforge.common.csv_cells import csv_bytes
    from evalsuite.page import card_plots, prediction_plots
    from evalsuite.page.render import page as whole_page

    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "card.json", card.to_json().encode())
    write_whole(out / "groups.csv", csv_bytes(card.to_frame()))
    write_whole(out / "gaps.csv", csv_bytes(card.gaps_frame()))
    write_whole(out / "card.html", whole_page([page]).encode())
    for column in card.columns:
        name = "".join(c if c.isalnum() else "_" for c in column)
        plots = {
            "forest": card_plots.forest(card, column),
            "gaps": card_plots.gaps(card, column),
            "reliability": prediction_plots.reliability(test, column),
            "roc": prediction_plots.roc(test, column),
        }
        for kind, svg in plots.items():
            write_whole(out / f"{kind}_{name}.svg", svg.encode())
    for name, value in extra.items():
        write_whole(out / f"{name}.json", document(value).encode())


def _print(card: Card) -> None:
    """The answer, class by class, then each column."""
    from evalsuite.report import headline

    for sentence in (*headline.sentences(card), headline.exploratory(card)):
        if sentence:
            console.say(sentence)
    for column in card.columns:
        console.out.print(_groups(card, column))
        console.out.print(_classes(headline.by_class(card, column)))


def _groups(card: Card, column: str) -> Table:
    wanted = dict.fromkeys((card.primary, *map(MetricKey.parse, ("accuracy", "auroc", "sensitivity@global", "ece"))))
    shown = [m for m in wanted if m in card.row()]
    table = Table(title=f"{column} ({card.settings.confidence:.0%} intervals)")
    for name in ("group", "n", *map(str, shown)):
        table.add_column(name)
    for row in (card.row(), *card.of(column)):
        table.add_row(row.group, str(row.n), *(row[m].text(2) for m in shown))
    return table


def _classes(found: blocks.Table) -> Table:
    """A table of the page for a terminal: what stands under a value comes behind it."""
    table = Table(title=found.caption)
    for name in found.head:
        table.add_column(name)
    for row in found.rows:
        table.add_row(*(c if isinstance(c, str) else " ".join((c.text, *(f"({u})" for u in c.under))) for c in row))
    return table


def _compared(made: Comparison) -> Table:
    table = Table(title=f"{made.metric}: baseline -> this model")
    for name in ("column", "group", "n", "change", "p", "Holm p", f"no worse than -{made.margin:g}"):
        table.add_column(name)
    for c in made.changes:
        if not c.enough:
            table.add_row(c.column, c.group, str(c.n), c.text(), "", "", "not judged")
            continue
        holm = "" if c.p_holm != c.p_holm else f"{c.p_holm:.3g}"
        table.add_row(c.column, c.group, str(c.n), c.text(), f"{c.p:.3g}", holm, "yes" if c.no_worse else "not shown")
    table.caption = "; ".join(f"{g.column}: {g.reading}" for g in made.gaps)
    return table
