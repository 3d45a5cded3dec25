"""The main question, asked once: the same classifier with and without synthetic images, on the same test set."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from dermforge.common.atomic import write_whole
from dermforge.common.errors import UserError
from evalsuite.fairness import predictions
from evalsuite.fairness.card import Card, CardSettings, plain
from evalsuite.fairness.compare_models import compare
from evalsuite.fairness.comparison import Comparison
from evalsuite.fairness.compute_card import compute_card
from evalsuite.fairness.compute_card import steps as card_steps
from evalsuite.fairness.predictions import Predictions
from evalsuite.study import arm as arms
from evalsuite.study import run_arms
from evalsuite.study.arm import Arm, Result
from evalsuite.study.paired_scores import Score, correct, resamples
from evalsuite.training.data import datasets
from evalsuite.training.recipe import Recipe
from shards.format.schema import created_by

RECORD, KIND = "run.json", "run"
#: What the two arms are called wherever they are shown.
NAMES = {"real": "real only", "mix": "real + synthetic"}
#: A group may lose this much accuracy and still count as no worse; named before anything is trained.
MARGIN = 0.02


class Plan(BaseModel):
    """What was asked, kept before anything is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = KIND
    places: datasets.Places
    recipe: Recipe
    n_real: int
    ratio_asked: float
    seeds: int
    notes: tuple[str, ...] = ()
    leakage: tuple[str, ...] = ()
    created_by: str = ""

    def arms(self) -> list[Arm]:
        """Real only and real + synthetic, for each seed."""
        return [
            Arm(
                kind=kind,
                n_real=self.n_real,
                recipe=self.recipe.model_copy(
                    update={"seed": self.recipe.seed + seed, "ratio": self.recipe.ratio if kind == "mix" else 0.0}
                ),
            )
            for seed in range(self.seeds)
            for kind in ("real", "mix")
        ]


@dataclass(frozen=True)
class Analysis:
    """What a run says.

    Attributes
    ----------
    tests
        Test predictions of the first seed, by arm.
    scores
        Accuracy of each arm over all seeds.
    gain
        Accuracy of real + synthetic less that of real only, paired.
    """

    plan: Plan
    results: tuple[Result, ...]
    tests: dict[str, Predictions]
    cards: dict[str, Card]
    comparison: Comparison
    scores: dict[str, Score]
    gain: Score
    column: str

    def headline(self) -> dict[str, Any]:
        """The few numbers that a reader takes away."""
        worst = {kind: self.cards[kind].worst(self.column) for kind in NAMES}
        low, high = self.gain_interval()
        return {
            **{kind: self._accuracy(kind) for kind in NAMES},
            "gain": {"value": self.gain.value, "low": low, "high": high, "seeds": self.plan.seeds},
            "worst_group": {
                kind: None
                if found is None
                else {"group": found[0], "accuracy": found[1].value, "low": found[1].low, "high": found[1].high}
                for kind, found in worst.items()
            },
        }

    def gain_interval(self) -> tuple[float, float]:
        """Over test items, and over seeds where there are several."""
        if self.plan.seeds > 1:
            return self.gain.interval()
        whole = self.comparison.of("all")[0]
        return whole.low, whole.high

    def _accuracy(self, kind: str) -> dict[str, float]:
        if self.plan.seeds > 1:
            low, high = self.scores[kind].interval()
            return {"accuracy": self.scores[kind].value, "low": low, "high": high}
        estimate = self.cards[kind].row()["accuracy"]
        return {"accuracy": estimate.value, "low": estimate.low, "high": estimate.high}


def plan(
    places: datasets.Places, recipe: Recipe, *, n_real: int, ratio: float, seeds: int, allow_leakage: bool = False
) -> Plan:
    """Check what was asked against what is there; the ratio is lowered to what the shards hold.

    Raises
    ------
    UserError
        Too few images, or a generator that saw what it must not.
    """
    opened = datasets.open_data(places)
    per_class = n_real or opened.train.n / len(opened.classes)  # as training_set counts where classes are not equal
    notes = []
    held, scarce = opened.scarcest(n_real, [recipe.seed + seed for seed in range(seeds)])
    possible = held / per_class
    if possible < ratio:
        notes.append(
            f"A ratio of {ratio:g}:1 was asked for; the synthetic shards hold {possible:.3g} images for each "
            "real one, and all of them were used."
        )
    if not held:
        raise UserError(
            f"{scarce} has no synthetic images in {', '.join(map(str, places.synthetic))}; generate some "
            f"of each of {', '.join(opened.classes)}"
        )
    actual = min(ratio, math.floor(held / per_class * 1000) / 1000)
    leaks = datasets.check_held_out(opened, allow_leakage)
    made = Plan(
        places=places,
        recipe=recipe.model_copy(update={"ratio": actual}),
        n_real=n_real,
        ratio_asked=ratio,
        seeds=seeds,
        notes=tuple(notes),
        leakage=tuple(leaks),
        created_by=created_by(),
    )
    for arm in made.arms():
        arms.check_lineage(opened, arm, opened.real(arm.n_real, arm.seed), allow_leakage)
    return made


def execute(
    made: Plan, out: Path, *, workers: int | None = None, allow_leakage: bool = False, ray: str | None = None
) -> None:
    """Train all arms into a folder; those that are there already are kept."""
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "plan.json", made.model_dump_json(indent=1).encode())
    run_arms.run(made.arms(), made.places, out, workers=workers, allow_leakage=allow_leakage, ray=ray)


def read_plan(folder: Path) -> Plan:
    """The plan of a finished run.

    Raises
    ------
    UserError
        The folder holds no run.
    """
    try:
        return Plan.model_validate_json((folder / "plan.json").read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise UserError(f"{folder} holds no run (plan.json); make one with `evalsuite run --out {folder}`") from error


def analyse(folder: Path, *, n_boot: int = 1000, tick: Callable[[int], None] | None = None) -> Analysis:
    """Cards and comparisons from the predictions in a folder.

    Raises
    ------
    UserError
        The run is not finished.
    """
    made = read_plan(folder)
    results, tables = [], {}
    for arm in made.arms():
        place = folder / run_arms.FOLDER / arm.name
        if not (place / arms.RESULT).is_file():
            raise UserError(f"{place} is not finished; run the same `evalsuite run` again, it goes on")
        results.append(Result.model_validate_json((place / arms.RESULT).read_bytes()))
        tables[arm.name] = place
    names = {kind: [a.name for a in made.arms() if a.kind == kind] for kind in NAMES}
    tests = {kind: _named(predictions.load(tables[n[0]] / arms.PREDICTIONS), NAMES[kind]) for kind, n in names.items()}
    held = {kind: _named(predictions.load(tables[n[0]] / arms.VALIDATION), "validation") for kind, n in names.items()}
    columns = _columns(tests["real"])
    settings = CardSettings(n_boot)
    cards = {kind: compute_card(tests[kind], columns, settings, validation=held[kind], tick=tick) for kind in NAMES}
    draws = resamples(tests["real"], made.seeds, n_boot)
    everyone = np.ones(tests["real"].n, dtype=bool)
    scores = {
        kind: draws.score(
            [correct(predictions.load(tables[n] / arms.PREDICTIONS), tests["real"]) for n in found],
            everyone,
            "accuracy",
        )
        for kind, found in names.items()
    }
    return Analysis(
        made,
        tuple(results),
        tests,
        cards,
        compare(tests["real"], tests["mix"], columns, settings, margin=MARGIN),
        scores,
        scores["mix"].minus(scores["real"]),
        columns[0],
    )


def steps(folder: Path, n_boot: int = 1000) -> int:
    """Resamples that `analyse` reports."""
    made = read_plan(folder)
    first = folder / run_arms.FOLDER / made.arms()[0].name / arms.PREDICTIONS
    return len(NAMES) * card_steps(_columns(predictions.load(first)), CardSettings(n_boot))


def write_record(found: Analysis, out: Path) -> dict[str, Any]:
    """run.json and the CSVs; returns what run.json holds."""
    record = {
        "schema_version": 1,
        "kind": KIND,
        "created_by": found.plan.created_by,
        "headline": found.headline(),
        "plan": found.plan.model_dump(mode="json"),
        "arms": [r.model_dump(mode="json") for r in found.results],
        "cards": {kind: card.to_dict() for kind, card in found.cards.items()},
        "comparison": found.comparison.to_dict(),
        "notes": notes(found),
        "leakage": leakage(found),
    }
    write_whole(out / RECORD, (json.dumps(plain(record), sort_keys=True, indent=1) + "\n").encode())
    for kind, card in found.cards.items():
        write_whole(out / f"card-{kind}.csv", card.to_frame().to_csv(index=False).encode())
        write_whole(out / f"gaps-{kind}.csv", card.gaps_frame().to_csv(index=False).encode())
    write_whole(out / "comparison.csv", found.comparison.to_frame().to_csv(index=False).encode())
    return record


def notes(found: Analysis) -> list[str]:
    """What a reader must know, each sentence once."""
    said = [*found.plan.notes, *(n for r in found.results for n in r.notes)]
    if found.plan.seeds == 1:
        said.append(
            "One seed: the intervals cover the test images, not the luck of the training run. --seeds 5 covers both."
        )
    return list(dict.fromkeys(said))


def leakage(found: Analysis) -> list[str]:
    return list(dict.fromkeys([*found.plan.leakage, *(t for r in found.results for t in r.leakage)]))


def _named(table: Predictions, source: str) -> Predictions:
    return Predictions(table.ids, table.classes, table.labels, table.probs, table.groups, table.clusters, source)


def _columns(table: Predictions) -> list[str]:
    """Group columns that vary, the skin type first: its groups are the family of Holm's correction."""
    varied = [c for c in table.groups.columns if table.groups[c].nunique() > 1]
    return sorted(varied, key=lambda column: column != "group")
