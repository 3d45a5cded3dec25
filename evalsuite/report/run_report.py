"""The report of `evalsuite run`."""

from __future__ import annotations

from evalsuite.fairness.comparison import Comparison
from evalsuite.page import curves
from evalsuite.page.blocks import Answer, Block, Plot, Report, Section, records
from evalsuite.report import card_blocks, methods
from evalsuite.report.datasheet import data_sheet, sheet
from evalsuite.stats.estimate import points
from evalsuite.stats.verdict import verdict
from evalsuite.study.analysis import ALL
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
        Section(f"Card: {NAMES['mix']}", card_blocks.card_blocks(found.cards["mix"], found.tests["mix"])),
        Section(f"Card: {NAMES['real']}", card_blocks.card_blocks(found.cards["real"], found.tests["real"])),
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
    said = ANSWERS.get(verdict(found.gain.value, low, high, margin), "This cannot be determined from this run")
    words = f"Not enough data for an answer ({lacks})" if lacks else said
    numbers = [(f"accuracy, {NAMES[k]}", _percent(head[k]["accuracy"]), _between(head[k])) for k in NAMES]
    worst = head["worst_group"]["mix"]
    numbers.append(("gain", f"{gain} points", between))
    if worst:
        value = f"{_percent(worst['accuracy'])} ({_between(worst)})"
        numbers.append(("worst skin type with synthetic images", worst["group"], value))
    return Answer(
        f"{words}: adding {found.ratio:g} synthetic images for each of {n} real ones changed the accuracy by {gain} "
        f"points (95% interval {between}).",
        numbers,
        [f"No verdict on skin types: {lacks}."] if lacks else who_moved(found.comparison, found.column),
    )


def who_moved(comparison: Comparison, column: str) -> list[str]:
    """Which groups gained or lost beyond chance, given their number, and what that means for the gap."""
    changes = [c for c in comparison.of(column) if c.enough]
    sure = [c for c in changes if c.beyond_chance]
    gained, lost = [c.group for c in sure if c.difference > 0], [c.group for c in sure if c.difference < 0]
    said = []
    if gained:
        said.append(f"Gained beyond chance (Holm): {', '.join(gained)}.")
    if lost:
        said.append(f"Lost beyond chance (Holm): {', '.join(lost)}.")
    if changes and not sure:
        said.append("No single skin type gained or lost beyond chance.")
    worse = "shown" if comparison.no_group_worse else "not shown"
    said.append(f"No group got worse by more than {100 * comparison.margin:g} points: {worse}.")
    said += [f"Gap by {g.column}: {g.reading}." for g in comparison.gaps if g.column == column]
    return said


def _comparison(found: RunFindings) -> list[Block]:
    return [
        "Both arms were tested on the same images, so each row compares a model with itself plus synthetic images. "
        "The detectable difference is the one that a group of this size had an 80% chance to show: a smaller one would "
        "have been missed.",
        *card_blocks.comparison_blocks(found.comparison),
    ]


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
