"""The report of `evalsuite study`."""

from __future__ import annotations

from evalsuite.page import curves
from evalsuite.page.blocks import Answer, Block, Plot, Report, Section, Table, number, records
from evalsuite.report import methods, study_contrasts, study_external
from evalsuite.report.datasheet import data_sheet, sheet
from evalsuite.report.study_lines import differences, metric, not_judged, pick
from evalsuite.stats.estimate import NOT_ENOUGH, points
from evalsuite.study.analysis import Analysis
from evalsuite.study.arm_scores import ALL
from evalsuite.study.gains import Gain
from evalsuite.study.kinds import WHAT
from evalsuite.study.scaling_laws import CHOSEN_BY, is_chosen
from evalsuite.study.study_findings import compared, notes, verdicts


def report(found: Analysis) -> Report:
    """All sections of a study."""
    places = found.design.places
    picture = sheet(places.synthetic)
    sections = [
        Section("What the synthetic images look like", [picture] if picture else ["There are none."]),
        Section("Score against real images", _figure(found)),
        Section("Gain against dose", _dose(found)),
        Section(f"Verdict for each {_group_word(found)}", _by_group(found)),
        *study_external.sections(found),
        *study_contrasts.sections(found),
        Section("What synthetic images are worth", _exchange(found)),
        Section("Laws", _laws(found)),
        Section("Methods", _methods(found)),
        Section("Data sheet", data_sheet(places.real, places.synthetic)),
        Section("Limits", methods.limits(phantoms=any("phantom" in note for note in found.notes))),
    ]
    return Report(
        "At which dose do these synthetic images help, and whom?",
        answer(found),
        sections,
        found.leakage,
        notes(found),
        found.design.recipe.summary(),
    )


def answer(found: Analysis) -> Answer:
    """The answer for all, the numbers at the reference dose, and a sentence for each group."""
    words = verdicts(found)
    numbers = [
        (
            f"gain with {g.size} real images per class, {found.reference:g}:1"
            + (f", {g.strategy}" if g.strategy else ""),
            *gain_tile(g),
        )
        for g in found.gains
        if g.group == ALL and g.ratio == found.reference
    ]
    details = [*compared(found).get(ALL, ()), *study_external.details(found)]
    details += [f"{group}: {text}" for group, text in words.items() if group != ALL and not found.lacking[group]]
    details += not_judged(found.lacking)
    family = [g for g in found.gains if g.ratio == found.reference]
    by_chance = sum((g.low > 0 or g.high < 0) and g.verdict == "cannot be determined" for g in family)
    if by_chance:
        details.append(
            f"{by_chance} of these {len(family)} intervals exclude 0, and yet the verdict is neither helps nor hurts: "
            "among so many intervals some exclude 0 by chance (Holm)."
        )
    return Answer(words[ALL], numbers, details)


def gain_tile(gain: Gain) -> tuple[str, str]:
    """What stands large, and under it: no number stands large that says nothing."""
    value, between = points(gain.value, gain.low, gain.high)
    if gain.verdict == NOT_ENOUGH:
        return NOT_ENOUGH, f"{value} points, 95% interval {between}"
    return f"{value} points", f"95% interval {between}; {gain.verdict}"


def figure(found: Analysis, group: str, strategy: str | None = None) -> str:
    """The figure of Sagers 2023: score against the number of real images, a line for each ratio."""
    ratios = sorted({r for doses in found.design.doses.values() for r in doses})
    lines = []
    for ratio in ratios:
        mine = pick(found, group, "mix" if ratio else "real", strategy if ratio else None, ratio)
        dots = [(float(x.size), x.score, x.low, x.high) for x in mine]
        lines.append(curves.Curve("real only" if not ratio else f"{ratio:g}:1", dots))
    n = next(line.n for line in found.lines if line.group == group)
    return curves.plot_curves(
        lines,
        title=f"{metric(found)}, {group} (n={n})" + (f", {strategy}" if strategy else ""),
        x_label="real images per class",
        y_label=metric(found),
    )


def _figure(found: Analysis) -> list[Block]:
    caption = (
        f"Bands: 95% over {found.design.seeds} seeds and the test images. A line for each number of synthetic "
        "images per real one; all arms made equally many optimiser steps."
    )
    plots = [
        Plot(figure(found, group, strategy), caption if group == ALL else "")
        for strategy in found.design.strategies
        for group in found.groups
        if group == ALL or not found.lacking[group]
    ]
    return [*plots, *not_judged(found.lacking)]


def _dose(found: Analysis) -> list[Block]:
    blocks: list[Block] = []
    for strategy in found.design.strategies:
        lines, marks = [], []
        for size in found.design.sizes:
            mine = [g for g in found.gains if (g.group, g.strategy, g.size) == (ALL, strategy, size)]
            dots = [(0.0, 0.0, 0.0, 0.0), *((g.ratio, g.value, g.low, g.high) for g in mine)]
            lines.append(curves.Curve(f"{size} real per class", dots))
        ratio = found.saturations[ALL, strategy, found.design.sizes[-1]].ratio
        if ratio > 0:  # NaN, where there is none to name, and 0, where nothing is gained, have no line
            marks.append((ratio, f" enough with {found.design.sizes[-1]}: {ratio:g}:1"))
        blocks.append(
            Plot(
                curves.plot_curves(
                    lines,
                    title="Gain over real images only" + (f", {strategy}" if strategy else ""),
                    x_label="synthetic images for each real one",
                    y_label=f"gain in {metric(found)}",
                    marks=marks,
                ),
                "A dose is enough where the 95% interval of every further doubling excludes a gain of "
                f"{100 * found.design.margin:g} points. An interval that reaches further does not show whether more "
                "images help.",
            )
        )
    head, shown = ("group", "strategy", "real per class", "how many are enough"), found.saturations.items()
    rows = [(g, s or "all", str(n), v.text()) for (g, s, n), v in shown if g == ALL or not found.lacking[g]]
    table = Table(head, rows, "How many synthetic images are enough")
    return [*blocks, table, *not_judged(found.lacking)]


def _group_word(found: Analysis) -> str:
    return "skin type" if found.design.groups == "group" else found.design.groups


def _by_group(found: Analysis) -> list[Block]:
    return [
        f"Verdicts at {found.reference:g}:1 were named in advance as the family of comparisons: there, 'helps' and "
        "'hurts' must survive Holm's correction over groups and sizes. 'No relevant difference' means that the whole "
        f"interval lies within {100 * found.design.margin:g} points of 0. Other doses are exploratory.",
        differences(found.lacking, found.gains),
        *not_judged(found.lacking),
    ]


def _exchange(found: Analysis) -> list[Block]:
    least = (
        "it needs the real-only curve at four or more numbers of real images, and that more of them help beyond chance"
    )
    if not found.exchanges:
        return [f"Not enough data: {found.lacking[ALL]}." if found.lacking[ALL] else f"No exchange rate: {least}."]
    rows = [(g, s or "all", str(n), v.text(), *v.rate_text()) for (g, s, n), v in found.exchanges.items()]
    return [
        f"The real-only curve is fitted and read backwards: how many real images would have given the score that "
        f"{found.reference:g}:1 gave. Nothing is extrapolated, and a group is left out where there is none: {least}.",
        Table(("group", "strategy", "real per class", "worth", "real images per synthetic one", "95% interval"), rows),
    ]


def _laws(found: Analysis) -> list[Block]:
    if not found.laws:
        lacks = found.lacking[ALL]
        return [f"Not enough data: {lacks}." if lacks else "There are too few doses and sizes to fit a law."]
    rows = [
        {
            "group": g,
            "strategy": s or "all",
            "law": f.law.name + (" (chosen)" if f is fits[0] and is_chosen(fits) else ""),
            "error =": f.law.formula,
            "AICc": number(f.aicc, 1) or "too few points",
            "fit, points": f"{100 * f.rmse:.2f}",
            "held out, points": number(100 * f.held_out, 2),
            "source": f.law.source,
        }
        for (g, s), fits in found.laws.items()
        for f in fits
    ]
    return [
        f"Error as a function of n real and s synthetic images per class, r = s / n. Chosen by {CHOSEN_BY}; next to it "
        "the error in points at the largest dose when a law is fitted without it. A law that fits says nothing beyond "
        "the doses measured. None is chosen where there are too few doses and sizes to tell all of them apart.",
        records(rows),
        *not_judged(found.lacking),
    ]


def _methods(found: Analysis) -> list[Block]:
    d = found.design
    sizes = ", ".join(map(str, d.sizes))
    doses = ", ".join(f"{r:g}" for r in sorted({r for v in d.doses.values() for r in v}))
    doubled = " Doses were doubled until the interval of the gain per doubling lay below the margin."
    doubled = doubled if d.adaptive else ""
    return [
        methods.training(d.recipe),
        f"Arms were trained with {sizes} real images per class (nested subsets, spread over skin types) and {doses} "
        f"synthetic images for each real one, {d.seeds} seeds each, all with {d.recipe.steps} steps.{doubled} "
        f"Controls: {'; '.join(WHAT[kind] for kind in d.control_kinds)}. "
        "Variances are from a bootstrap of test images (stratified by group and label, by cluster where there are any) "
        "and seeds, the same resamples for all arms, so that differences are paired; intervals are Student's on "
        "Fisher's z scale for differences (Edwardes 1995) and Wilson's for scores, with degrees of freedom after "
        "Satterthwaite, which are few where the seeds bring most of the variance.",
        methods.software(),
    ]
