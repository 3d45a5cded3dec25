"""The report of `evalsuite run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalsuite.page import curves
from evalsuite.page.blocks import Answer, Block, Plot, Report, Section, Table, records
from evalsuite.report import card_blocks, methods
from evalsuite.report.datasheet import data_sheet, sheet
from evalsuite.report.study_lines import not_judged
from evalsuite.stats.estimate import NOT_ENOUGH, points
from evalsuite.stats.verdict import verdict
from evalsuite.study.arm_scores import ALL
from evalsuite.study.gains import Gain
from evalsuite.study.kinds import Kind
from evalsuite.study.run_findings import NAMES, RunFindings

ANSWERS = {
    "helps": "Yes, here they help",
    "hurts": "No, here they hurt",
    "no relevant difference": "They make no relevant difference",
}


def report(found: RunFindings) -> Report:
    """All sections of a run."""
    places = found.study.design.places
    picture = sheet(places.synthetic)
    sections = [
        Section("What the synthetic images look like", [picture] if picture else ["There are none."]),
        Section("Who gains, who loses", _comparison(found)),
        *(Section(f"Card: {NAMES[kind]}", _card(found, kind)) for kind in ("mix", "real")),
        Section("Training", _training(found)),
        Section("Methods", methods.of_run(found)),
        Section("Data sheet", data_sheet(places.real, places.synthetic)),
        Section("Limits", methods.limits(phantoms=_phantoms(found))),
    ]
    classifier = found.study.design.recipe.summary()
    return Report(
        "Do these synthetic images help?", answer(found), sections, found.study.leakage, found.notes, classifier
    )


def answer(found: RunFindings) -> Answer:
    """The answer in words, and the numbers under it."""
    head, (low, high) = found.headline(), found.gain_interval()
    gain, between = points(found.gain.value, low, high)
    n, margin, lacks = found.study.results[0].real, found.study.design.margin, found.study.lacking[ALL]
    details = [f"No verdict on skin types: {lacks}."]
    if not lacks:
        details = who_moved(found.study.gains, found.study.lacking, margin)
    said = ANSWERS.get(verdict(found.gain.value, low, high, margin), "This cannot be determined from this run")
    gap = found.gap("mix")
    if gap is not None:
        details = [f"With synthetic images: {gap.text()}", *details]
    words = f"Not enough data for an answer ({lacks})" if lacks else said
    numbers = [(f"accuracy, {NAMES[k]}", _percent(head[k]["accuracy"]), _between(head[k])) for k in NAMES]
    worst = head["worst_group"]["mix"]
    of = (NOT_ENOUGH, f"{gain} points, {between}") if lacks else (f"{gain} points", between)
    numbers.append(("gain", *of))
    if worst:
        value = f"{_percent(worst['accuracy'])} ({_between(worst)})"
        numbers.append(("worst skin type with synthetic images", worst["group"], value))
    return Answer(
        f"{words}: adding {found.ratio:g} synthetic image{'' if found.ratio == 1 else 's'} for each of {n} real ones "
        f"changed the accuracy by {gain} points (95% interval {between}).",
        numbers,
        details,
    )


def who_moved(gains: Sequence[Gain], lacking: Mapping[str, str], margin: float) -> list[str]:
    """Which skin types gained or lost beyond chance, given their number, over all seeds.

    Parameters
    ----------
    lacking
        What lacks for a verdict on each of them: nobody may be passed over where it is said that none got worse.
    """
    of = [g for g in gains if g.group != ALL]
    judged = [g for g in of if g.verdict != "not enough data"]
    gained, lost = ([g.group for g in judged if g.verdict == word] for word in ("helps", "hurts"))
    said = []
    if gained:
        said.append(f"Gained beyond chance (Holm): {', '.join(gained)}.")
    if lost:
        said.append(f"Lost beyond chance (Holm): {', '.join(lost)}.")
    if judged and not gained and not lost:
        said.append("No single skin type gained or lost beyond chance.")
    said += not_judged(lacking)
    if of:
        shown = len(judged) == len(of) and all(g.low > -margin for g in judged)
        worse = "shown for each of them" if shown else "not shown"
        said.append(f"No skin type got worse by more than {100 * margin:g} points: {worse}.")
    return said


def _card(found: RunFindings, kind: Kind) -> list[Block]:
    seeds = found.study.design.seeds
    of_one: list[Block] = [
        f"This card is of one model, trained with the first of {seeds} seeds. A gap here may be the luck of that "
        "training; the verdicts above are over all seeds."
    ]
    return [*(of_one if seeds > 1 else []), *card_blocks.card_blocks(found.cards[kind], found.tests[kind])]


def _comparison(found: RunFindings) -> list[Block]:
    same = "Both arms were tested on the same images, so each row compares a model with itself plus synthetic images."
    if found.study.design.seeds > 1:
        return [same, _over_seeds(found)]
    return [
        f"{same} The detectable difference is the one that a group of this size had an 80% chance to show: a smaller "
        "one would have been missed.",
        *card_blocks.comparison_blocks(found.comparison),
    ]


def _over_seeds(found: RunFindings) -> Table:
    """Each skin type over all training runs: what one run shows may be its luck."""
    score = {(line.group, line.kind): line for line in found.study.lines}
    rows = []
    for gain in found.study.gains:
        difference, between = points(gain.value, gain.low, gain.high)
        row = {"skin type": gain.group, "n": str(gain.n)}
        row |= {name: _percent(score[gain.group, kind].score) for kind, name in NAMES.items()}
        rows.append({**row, "difference in points": f"{difference} ({between})", "verdict": gain.verdict})
    return records(rows, f"Accuracy over {found.study.design.seeds} training runs")


def _training(found: RunFindings) -> list[Block]:
    rows = [
        {
            "arm": r.arm.name,
            "": NAMES[r.arm.kind],
            "real": str(r.real),
            "synthetic": str(r.synthetic),
            "drawn: real / synthetic": f"{r.seen_real} / {r.seen_synthetic}",
            "steps": str(r.steps),
            "best step": str(r.best_step),
            "validation accuracy": f"{r.validation_accuracy:.3f}",
            "test accuracy": f"{r.test_accuracy:.3f}",
            "images/s": f"{r.images_per_second:.0f}",
        }
        for r in found.study.results
    ]
    lines = [
        curves.Curve(NAMES[r.arm.kind], [(e["step"], e["accuracy"], e["accuracy"], e["accuracy"]) for e in r.history])
        for r in found.study.results
        if r.arm.seed == found.study.design.recipe.seed
    ]
    plot = curves.plot_curves(
        lines,
        title="Validation accuracy while training",
        x_label="optimiser step",
        y_label="accuracy on real validation images",
        log_x=False,
    )
    return [
        "Every arm made the same number of optimiser steps with the same batch; the weights that did best on real "
        "validation images were kept.",
        records(rows),
        Plot(plot),
    ]


def _phantoms(found: RunFindings) -> bool:
    return any("phantom" in note for r in found.study.results for note in r.notes)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _between(found: dict[str, float]) -> str:
    return f"95% interval {100 * found['low']:.1f} to {100 * found['high']:.1f}"
