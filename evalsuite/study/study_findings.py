"""A study's findings in words, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from dermforge.common.as_json import document
from dermforge.common.atomic import write_whole
from dermforge.common.csv_cells import csv_bytes
from evalsuite.stats.estimate import points
from evalsuite.study.analysis import Analysis, External
from evalsuite.study.exchange import Exchange
from evalsuite.study.scaling_laws import is_chosen

RECORD = "study.json"
#: What synthetic images do, by verdict; {} is where.
EFFECTS = {
    "helps": "they help {}",
    "hurts": "they hurt {}",
    "no relevant difference": "they make no relevant difference {}",
    "cannot be determined": "it cannot be determined whether they help {}",
}


def verdicts(found: Analysis) -> dict[str, str]:
    """The answer in plain words, for all and each group."""
    return {group: _words(found, group) for group in found.groups}


def _words(found: Analysis, group: str) -> str:
    """What the reference dose does at each size for a group, how many images are enough, and what they are worth."""
    if found.lacking[group]:
        return f"Not enough data: {found.lacking[group]}."
    said = []
    for strategy in found.design.strategies:
        sizes: dict[str, list[str]] = {}
        for g in found.gains:
            if (g.group, g.strategy, g.ratio) == (group, strategy, found.reference):
                gain, between = points(g.value, g.low, g.high)
                sizes.setdefault(g.verdict, []).append(f"{g.size} ({gain} points, {between})")
        if not sizes:
            continue
        effects = [EFFECTS[v].format(f"with {_list(of)} real images per class") for v, of in sizes.items()]
        images = f"{found.reference:g} synthetic image{'' if found.reference == 1 else 's'}"
        last = found.design.sizes[-1]
        parts = [
            f"With {images} for each real one, {'; '.join(effects)}",
            f"How many are enough with {last} real images per class: {found.saturations[group, strategy, last].text()}",
        ]
        rates = [
            found.exchanges[group, strategy, n] for n in found.design.sizes if (group, strategy, n) in found.exchanges
        ]
        if rates:
            parts.append(f"What they are worth: {_exchange(rates)}")
        said.append((f"{strategy}: " if strategy else "") + ". ".join(parts) + ".")
    return " ".join(said)


def compared(found: Analysis) -> dict[str, list[str]]:
    """Whether the images are the cause: a sentence for each control at the reference dose, for all and each group."""
    said: dict[str, list[str]] = {group: [] for group in found.groups if not found.lacking[group]}
    causal = [c for c in found.contrasts if c.family == "controls"]
    pairs = dict.fromkeys((c.group, c.first, c.second) for c in causal)
    for group, first, second in (pair for pair in pairs if pair[0] in said):
        sizes: dict[str, list[str]] = {}
        for c in causal:
            if (c.group, c.first, c.second, c.ratio) == (group, first, second, found.reference):
                gain, between = points(c.value, c.low, c.high)
                sizes.setdefault(c.words, []).append(f"{c.size} ({gain} points, {between})")
        if sizes:
            verdicts_ = "; ".join(f"{word} with {_list(of)} real images per class" for word, of in sizes.items())
            said[group].append(f"{first.capitalize()} against {second}, {found.reference:g}:1: {verdicts_}.")
    return said


def notes(found: Analysis) -> list[str]:
    """What a reader must know."""
    design = found.design
    said = [
        f"All arms made {design.recipe.steps} optimiser steps of {design.recipe.batch} images, whatever their "
        "number of images"
        + ("; the control with fewer steps shows what that changes." if "real-short" in design.control_kinds else ".")
    ]
    if design.val_fraction:
        said.append(
            f"Checkpoints were chosen on {100 * design.val_fraction:g} % of each arm's own real images, which it did "
            "not learn from; they are part of its number of real images."
        )
    else:
        said.append("Checkpoints were chosen on validation images that are no part of an arm's number of real images.")
    said += design.notes
    if design.recipe.tuning == "features":
        said.append(
            "Features were computed once from images as they are: nothing is augmented, and there is no "
            "RandAugment control."
        )
    if design.seeds == 1:
        said.append("One seed: the intervals cover the test images, not the luck of training.")
    elif design.seeds < 5:
        said.append(f"{design.seeds} seeds: few to estimate how much is luck; five are usual.")
    if len(design.sizes) < 4:
        said.append(
            "Fewer than four numbers of real images: no exchange rate, since the real-only curve has three parameters."
        )
    return list(dict.fromkeys([*said, *found.notes]))


def _exchange(rates: Sequence[Exchange]) -> str:
    """What synthetic images are worth at the largest size with a conclusive interval, or why there is none."""
    conclusive = [rate for rate in rates if rate.conclusive]
    if conclusive:
        return conclusive[-1].text()
    within = [rate for rate in rates if not rate.outside]
    return within[-1].text() if within else "outside the fitted range at every size"


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _external(found: External | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "lacking": {group: text for group, text in found.lacking.items() if text},
        "scores": [asdict(line) for line in found.lines],
        "gains": [asdict(g) for g in found.gains],
        "contrasts": [asdict(c) for c in found.contrasts],
    }


def write_record(found: Analysis, out: Path) -> dict[str, Any]:
    """study.json and the CSVs; returns what study.json holds."""
    record: dict[str, Any] = {
        "schema_version": 1,
        "kind": "study",
        "created_by": found.design.created_by,
        "classifier": found.design.recipe.summary(),
        "design": found.design.model_dump(mode="json"),
        "reference_ratio": found.reference,
        "verdicts": verdicts(found),
        "compared": compared(found),
        "lacking": {group: text for group, text in found.lacking.items() if text},
        "notes": notes(found),
        "leakage": found.leakage,
        "scores": [asdict(line) for line in found.lines],
        "gains": [asdict(g) for g in found.gains],
        "contrasts": [asdict(c) for c in found.contrasts],
        "saturation": [
            {
                "group": g,
                "strategy": s,
                "size": n,
                "ratio": v.ratio,
                "status": v.status,
                "text": v.text(),
                "steps": [asdict(step) for step in v.steps],
            }
            for (g, s, n), v in found.saturations.items()
        ],
        "further": [
            {"group": g, "strategy": s, "size": n, **asdict(v), "text": v.text()}
            for (g, s, n), v in found.further.items()
        ],
        "exchange": [
            {"group": g, "strategy": s, "size": n, **asdict(v), "text": v.text()}
            for (g, s, n), v in found.exchanges.items()
        ],
        "laws": [
            {
                "group": g,
                "strategy": s,
                "law": f.law.name,
                "formula": f.law.formula,
                "source": f.law.source,
                "parameters": f.parameters.tolist(),
                "aicc": f.aicc,
                "rmse": f.rmse,
                "held_out": f.held_out,
                "chosen": f is fits[0] and is_chosen(fits),
            }
            for (g, s), fits in found.laws.items()
            for f in fits
        ],
        "luck": [
            {"kind": k, "strategy": s, "size": n, "ratio": r, **asdict(v)} for (k, s, n, r), v in found.lucks.items()
        ],
        "external": _external(found.external),
        "controls": list(found.design.control_kinds),
    }
    write_whole(out / RECORD, document(record, indent=1).encode())
    for name in ("scores", "gains", "contrasts", "saturation", "further", "exchange", "laws"):
        write_whole(out / f"{name}.csv", csv_bytes(pd.DataFrame(record[name])))
    return record
