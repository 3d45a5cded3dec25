"""`evalsuite plan-size`: how many test images, patients and trainings does a study need?"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from dermforge.common import console
from dermforge.common.errors import UserError
from dermforge.common.unused_options import used_only
from evalsuite.fairness.metric_key import ShareMetric

if TYPE_CHECKING:
    from evalsuite.fairness.predictions import Predictions
    from evalsuite.study.pilot import PilotPair
    from evalsuite.study.planner import GainPlan, GapPlan, Plan


@used_only("with --groups", lambda given: given["groups"], "gap", "balanced")
@used_only(
    "with --difference or --gains",
    lambda given: given["difference"] is not None or given["gains"],
    "against",
    "seeds",
    "seed_sd",
    "discordant",
)
@used_only("with a sensitivity or a specificity", lambda given: given["metric"] != "accuracy", "positive")
def plan_size(
    pilot: Annotated[list[Path], typer.Argument(help="predictions of a pilot; a table for each training of the arm")],
    groups: Annotated[str, typer.Option(help="group column: plan for a gap")] = "",
    gap: Annotated[float, typer.Option(min=0.005, max=0.95, help="gap of one group to all others")] = 0.1,
    against: Annotated[
        list[Path] | None, typer.Option(help="the other arm on the same images, a table for each training; repeat it")
    ] = None,
    difference: Annotated[
        float | None, typer.Option(min=0.001, max=0.95, help="difference of two arms: plan for it")
    ] = None,
    gains: Annotated[str, typer.Option(help="DOSE=DIFFERENCE,...: expected at each dose, instead of one")] = "",
    seeds: Annotated[str, typer.Option(help="trainings of each arm, separated by commas")] = "3,5,10",
    seed_sd: Annotated[
        float | None,
        typer.Option(min=0, max=0.5, help="spread of the difference between trainings [default: the pilot's]"),
    ] = None,
    discordant: Annotated[
        float | None, typer.Option(min=0.001, max=1, help="images where just one arm is right [default: the pilot's]")
    ] = None,
    metric: Annotated[ShareMetric, typer.Option(help="what is compared")] = ShareMetric.accuracy,
    positive: Annotated[str, typer.Option(help="class of a sensitivity or a specificity")] = "",
    cluster: Annotated[str, typer.Option(help="column of the patient")] = "",
    balanced: Annotated[
        bool, typer.Option("--balanced", help="as many images of each group, instead of the pilot's shares")
    ] = False,
    power: Annotated[float, typer.Option(min=0.5, max=0.99, help="chance to see what is there")] = 0.8,
    alpha: Annotated[float, typer.Option(min=0.001, max=0.2, help="chance to see what is not")] = 0.05,
    simulations: Annotated[int, typer.Option(min=100, help="studies simulated for each size")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="seed of the simulation")] = 0,
    json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Plan a study: test images, patients and trainings for a gap or a difference to be seen, by simulation.

    Patients have as many images as in the pilot, which agree as much as there. With several groups, alpha is divided
    by their number.

    Example: evalsuite plan-size pilot.parquet --groups fst --gap 0.1 --metric sensitivity --positive melanoma
    --cluster patient

    With and without synthetic images: evalsuite plan-size mixed.parquet --against real.parquet
    --gains 1=0.01,5=0.02,10=0.03 --seed-sd 0.01
    """
    from evalsuite.fairness import predictions
    from evalsuite.study.planner import Plan

    doses = _doses(gains, difference)
    if bool(groups) == bool(doses):
        raise UserError("plan for a gap (--groups) or for a difference (--difference or --gains), one of them")
    plan = Plan(power, alpha, simulations, seed)
    columns = [groups] if groups else []
    tables = [predictions.load(path, groups=columns, cluster=cluster or None) for path in pilot]
    if groups:
        if len(tables) > 1 or against:
            raise UserError("a gap is planned from one table, without --against")
        _gaps(tables[0], groups, gap, metric, positive, balanced, plan, json)
        return
    others = [predictions.load(path, groups=[], cluster=None) for path in against or []]
    pair = _pair(tables, others, metric, positive, discordant)
    if seed_sd is None and pair.trainings < 2:
        raise UserError(
            "one training of each arm does not show how much the difference varies from one to another: give --seed-sd "
            "(such as 0.01), or tables of several trainings"
        )
    _gains(pair, doses, _numbers(seeds), pair.seed_sd if seed_sd is None else seed_sd, metric, positive, plan, json)


def _gaps(
    table: Predictions,
    column: str,
    gap: float,
    metric: ShareMetric,
    positive: str,
    balanced: bool,
    plan: Plan,
    json: bool,
) -> None:
    from evalsuite.study.pilot import pilot_groups
    from evalsuite.study.planner import plan_gap

    found = pilot_groups(table, column, metric, positive)
    plans: list[GapPlan] = []
    with console.progress("plan", len(found), "groups") as tick:
        for group in found:
            plans.append(plan_gap(found, group.name, gap, plan, balanced))
            tick()
    alike = found[0].population.correlation
    if json:
        console.print_json({"pilot": found, "plan": plan, "correlation": alike, "gaps": plans})
        return
    shown = Table(title=f"{metric} by {column}: a gap of {gap:g} seen with {plan.power:.0%}")
    for head in (
        column,
        "pilot",
        "others",
        "power now",
        "gap seen now",
        "images of the group",
        "of all",
        "patients",
        "power",
    ):
        shown.add_column(head)
    for group, one in zip(found, plans, strict=True):
        needed = one.needed
        sizes = (
            ("more than a million", "", "", "")
            if needed is None
            else (f"{one.in_group:,}", f"{needed.images:,}", f"{needed.patients:,}", f"{needed.power:.0%}")
        )
        seen = f"{one.visible:.2f}" if math.isfinite(one.visible) else "none"
        shown.add_row(group.name, f"{group.rate:.3f}", f"{one.rest_rate:.3f}", f"{one.now.power:.0%}", seen, *sizes)
    console.out.print(shown)
    console.say(
        f"Images of one patient correlate by {alike:.2f}. Where nothing is planted, at most "
        f"{max((one.needed or one.now).false_alarms for one in plans):.1%} of {plan.simulations} studies see something."
        f"{_counted(metric, positive)}"
    )


def _gains(
    pair: PilotPair,
    doses: dict[float, float],
    trainings: list[int],
    seed_sd: float,
    metric: ShareMetric,
    positive: str,
    plan: Plan,
    json: bool,
) -> None:
    from evalsuite.study.planner import plan_gain

    plans: list[GainPlan] = []
    with console.progress("plan", len(doses) * len(trainings), "sizes") as tick:
        for dose, gain in doses.items():
            for count in trainings:
                plans.append(plan_gain(pair, gain, count, plan, seed_sd, dose))
                tick()
    if json:
        console.print_json({"pilot": pair, "plan": plan, "seed_sd": seed_sd, "gains": plans})
        return
    shown = Table(title=f"a difference of two arms seen with {plan.power:.0%}")
    for head in ("dose", "difference", "trainings", "images", "patients", "power", "false alarms"):
        shown.add_column(head)
    for one in plans:
        needed = one.needed
        sizes = (
            (f"not with any: {one.at_most:.0%} at most", "", "", "")
            if needed is None
            else (f"{needed.images:,}", f"{needed.patients:,}", f"{needed.power:.0%}", f"{needed.false_alarms:.1%}")
        )
        where = f"{one.dose:g}:1" if math.isfinite(one.dose) else ""
        shown.add_row(where, f"{one.gain:g}", str(one.seeds), *sizes)
    console.out.print(shown)
    console.say(
        f"Just one arm is right on {pair.discordant:.1%} of the images; images of one patient correlate by "
        f"{pair.population.correlation:.2f}; the difference varies by {seed_sd:.3f} between trainings."
        f"{_counted(metric, positive)}"
    )


def _counted(metric: ShareMetric, positive: str) -> str:
    """Which images are counted: a sensitivity rests on those of its class alone."""
    if metric == "accuracy":
        return ""
    own = f"{'' if metric == 'sensitivity' else 'not '}of {positive}"
    return f" Images and patients are those {own}: a test set needs the others as well."


def _pair(
    tables: list[Predictions], others: list[Predictions], metric: ShareMetric, positive: str, discordant: float | None
) -> PilotPair:
    from evalsuite.study.pilot import pilot_pair, pilot_single

    if others:
        pair = pilot_pair(tables, others, metric, positive)
        if discordant is None and pair.discordant == 0:
            raise UserError(
                "both arms are right on the same images, which does not show on how many they may differ: give "
                "--discordant (such as 0.1), or a larger pilot"
            )
        return pair if discordant is None else replace(pair, discordant=discordant)
    if discordant is None:
        raise UserError("without --against, give --discordant: the share of images where just one arm is right")
    if len(tables) > 1:
        raise UserError("several tables need --against, as many; or give one")
    return pilot_single(tables[0], discordant, metric, positive)


def _doses(words: str, difference: float | None) -> dict[float, float]:
    """The difference that is expected at each dose; NaN where no dose is named."""
    if words and difference is not None:
        raise UserError("give --difference or --gains, one of them")
    if difference is not None:
        return {math.nan: difference}
    found: dict[float, float] = {}
    for word in filter(None, (w.strip() for w in words.split(","))):
        try:
            dose, gain = (float(part) for part in word.split("="))
        except ValueError:
            raise UserError(f"--gains: {word!r}; expected DOSE=DIFFERENCE, such as 5=0.02") from None
        if not (dose > 0 and 0 < gain < 1):
            raise UserError(f"--gains: {word!r}; expected a dose above 0 and a difference between 0 and 1")
        found[dose] = gain
    return found


def _numbers(words: str) -> list[int]:
    parts = [word.strip() for word in words.split(",") if word.strip()]
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UserError(f"--seeds {words!r}; expected numbers of trainings, such as 3,5,10")
    return [int(part) for part in parts]
