"""What a run shows: the fairness card of both arms, their comparison, and the headline; run.json and tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dermforge.common.as_json import document
from dermforge.common.atomic import write_whole
from dermforge.common.csv_cells import csv_bytes
from evalsuite.fairness.card import Card, CardSettings
from evalsuite.fairness.compare_models import compare
from evalsuite.fairness.comparison import Comparison
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.compute_card import steps as card_steps
from evalsuite.fairness.predictions import Predictions
from evalsuite.stats.estimate import NOT_ENOUGH
from evalsuite.study import arm as arms
from evalsuite.study.analysis import Analysis, Line, analyse
from evalsuite.study.arm_scores import ALL, arm_predictions
from evalsuite.study.design import read_design
from evalsuite.study.gains import Gain
from evalsuite.study.kinds import Kind
from evalsuite.study.skin_type_gap import SkinTypeGap

RECORD = "run.json"
#: What the two arms are called wherever they are shown.
NAMES: dict[Kind, str] = {"real": "real only", "mix": "real + synthetic"}


@dataclass(frozen=True)
class RunFindings:
    """What a run says.

    Attributes
    ----------
    study
        The run as a study of one size and one ratio: scores and the gain over all seeds.
    tests, cards
        Test predictions of the first seed and their card, by arm.
    column
        The group column that the headline is about.
    """

    study: Analysis
    tests: dict[Kind, Predictions]
    cards: dict[Kind, Card]
    comparison: Comparison
    column: str

    @property
    def gain(self) -> Gain:
        """Accuracy of real + synthetic less that of real only, paired."""
        return next(g for g in self.study.gains if g.group == ALL)

    @property
    def ratio(self) -> float:
        return self.study.reference

    def headline(self) -> dict[str, Any]:
        """The few numbers that a reader takes away."""
        worst = {kind: self.worst(kind) for kind in NAMES}
        low, high = self.gain_interval()
        return {
            **{kind: self._accuracy(kind) for kind in NAMES},
            "gain": {"value": self.gain.value, "low": low, "high": high, "seeds": self.study.design.seeds},
            "worst_group": {
                kind: None
                if found is None
                else {"group": found[0], "accuracy": found[1], "low": found[2], "high": found[3]}
                for kind, found in worst.items()
            },
        }

    def gap(self, kind: Kind) -> SkinTypeGap | None:
        """The largest difference between skin types of an arm, over all seeds."""
        return next((gap for cell, gap in self.study.gaps.items() if cell[0] == kind), None)

    def worst(self, kind: Kind) -> tuple[str, float, float, float] | None:
        """The worst skin type, its accuracy and interval: over all seeds, or of the one model."""
        gap = self.gap(kind)
        if self.study.design.seeds > 1 and gap is not None:
            return gap.worst, gap.worst_score.value, *gap.worst_score.interval()
        found = self.cards[kind].worst(self.column)
        return None if found is None else (found[0], found[1].value, found[1].low, found[1].high)

    def gain_interval(self) -> tuple[float, float]:
        """Over test items, and over seeds where there are several."""
        over = self.gain if self.study.design.seeds > 1 else self.comparison.of("all")[0]
        return over.low, over.high

    def _accuracy(self, kind: Kind) -> dict[str, float]:
        if self.study.design.seeds > 1:
            line = self.line(kind)
            return {"accuracy": line.score, "low": line.low, "high": line.high}
        estimate = self.cards[kind].row()["accuracy"]
        return {"accuracy": estimate.value, "low": estimate.low, "high": estimate.high}

    def by_group(self) -> list[tuple[str, str, str, str, str]]:
        """Group, test images, accuracy of both arms and the difference: over all seeds, or of the one model."""
        if self.study.design.seeds > 1:
            shown = {(line.group, line.kind): _shown(line.score, line.low, line.high) for line in self.study.lines}
            rows = []
            for g in self.study.gains:
                numbers = shown[g.group, "real"], shown[g.group, "mix"], _shown(g.value, g.low, g.high, "+")
                lacks = g.group != ALL and self.study.lacking[g.group]
                rows.append((g.group, str(g.n), *((NOT_ENOUGH,) * 3 if lacks else numbers)))
            return rows
        rows = []
        for change in (*self.comparison.of("all"), *self.comparison.of(self.column)):
            real, mix = (self.cards[kind].row(change.column, change.group)["accuracy"].text() for kind in NAMES)
            difference = _shown(change.difference, change.low, change.high, "+") if change.enough else NOT_ENOUGH
            rows.append((change.group, str(change.n), real, mix, difference))
        return rows

    def line(self, kind: Kind) -> Line:
        """The score of an arm."""
        return next(line for line in self.study.lines if (line.group, line.kind) == (ALL, kind))

    @property
    def notes(self) -> list[str]:
        """What a reader must know."""
        one = "One seed: the intervals cover the test images, not the luck of a training run; 3 seeds cover both."
        return [*self.study.notes, *([one] if self.study.design.seeds == 1 else [])]


def find(folder: Path, *, n_boot: int = 1000, tick: Callable[[int], None] | None = None) -> RunFindings:
    """Cards and comparisons from the predictions of a run.

    Raises
    ------
    UserError
        The run is not finished.
    """
    study = analyse(folder, n_boot=n_boot)
    first = {arm.kind: arm for arm in reversed(study.design.arms())}
    tests = {kind: replace(arm_predictions(folder, first[kind]), source=NAMES[kind]) for kind in NAMES}
    held = {kind: replace(arm_predictions(folder, first[kind], arms.VALIDATION), source="validation") for kind in NAMES}
    columns, settings = _columns(tests["real"]), CardSettings()
    cards = {kind: compute_card(tests[kind], columns, settings, validation=held[kind], tick=tick) for kind in NAMES}
    comparison = compare(tests["real"], tests["mix"], columns, settings, margin=study.design.margin)
    return RunFindings(study, tests, cards, comparison, columns[0])


def steps(folder: Path) -> int:
    """Columns and crossings that `find` reports."""
    table = arm_predictions(folder, read_design(folder).arms()[0])
    return len(NAMES) * card_steps(_columns(table), CardSettings())


def write_record(found: RunFindings, out: Path) -> dict[str, Any]:
    """run.json and the CSVs; returns what run.json holds."""
    design = found.study.design
    record = {
        "schema_version": 2,
        "kind": design.kind,
        "created_by": design.created_by,
        "classifier": design.recipe.summary(),
        "headline": found.headline(),
        "plan": design.model_dump(mode="json"),
        "arms": [r.model_dump(mode="json") for r in found.study.results],
        "cards": {kind: card.to_dict() for kind, card in found.cards.items()},
        "comparison": found.comparison.to_dict(),
        "notes": found.notes,
        "leakage": found.study.leakage,
    }
    write_whole(out / RECORD, document(record, indent=1).encode())
    for kind, card in found.cards.items():
        write_whole(out / f"card-{kind}.csv", csv_bytes(card.to_frame()))
        write_whole(out / f"gaps-{kind}.csv", csv_bytes(card.gaps_frame()))
    write_whole(out / "comparison.csv", csv_bytes(found.comparison.to_frame()))
    return record


def _columns(table: Predictions) -> list[str]:
    """Group columns that vary, the skin type first: its groups are the family of Holm's correction."""
    varied = [c for c in table.groups.columns if table.groups[c].nunique() > 1]
    return sorted(varied, key=lambda column: column != "group")


def _shown(value: float, low: float, high: float, sign: str = "") -> str:
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"
