"""What trackers are told of an arm and of a study: settings, scores and verdicts; no path, image or id of an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from dermforge.common.digests import digest_file
from dermforge.common.trackers import Value
from dermforge.common.tracking import Tracking
from evalsuite.study.analysis import Analysis
from evalsuite.study.arm import Arm, Result
from evalsuite.study.design import Design
from evalsuite.training.data import datasets
from evalsuite.training.recipe import Recipe
from evalsuite.training.resume import Evaluation


def settings_of_arm(arm: Arm, data: str) -> dict[str, object]:
    """What decides an arm; `data`: the digest of its images."""
    return {**_recipe(arm.recipe), **arm.model_dump(mode="json", exclude={"recipe"}), "data": data}


def settings_of_study(design: Design) -> dict[str, object]:
    """What decides a study or a run. Doses that are found on the way are not said beforehand."""
    apart = {"recipe", "places", "leakage", "notes", "created_by", "controls", *(["doses"] if design.adaptive else [])}
    told = {**_recipe(design.recipe), **design.model_dump(mode="json", exclude=apart)}
    return {**told, "data": datasets.digest(design.places), "allowed leaks": len(design.leakage)}


def _recipe(recipe: Recipe) -> dict[str, object]:
    return {**recipe.model_dump(mode="json"), "weights": Path(recipe.weights).name}  # of a file, not its folder


def log_evaluation(tracking: Tracking, evaluation: Evaluation) -> None:
    """The numbers of one evaluation at its step."""
    values = asdict(evaluation)
    tracking.metrics(values, values.pop("step"))


def outcome_of_arm(result: Result) -> dict[str, Value]:
    """What came out of one arm, and the digest that stands for its settings and images."""
    names = ("test_accuracy", "validation_accuracy", "best_step", "seconds", "real", "synthetic", "digest")
    return {name: getattr(result, name) for name in names} | {"allowed leaks": len(result.leakage)}


def arm_logger(tracking: Tracking, first_seed: int) -> Callable[[Result], None]:
    """Logs each arm once: its accuracy under the name of its cell, with the seed as the step."""
    known: set[str] = set()

    def log(result: Result) -> None:
        if not known:
            tracking.metrics({"arms": 0}, 0)
        if result.arm.name in known:
            return
        known.add(result.arm.name)
        cell, step = _cell(result.arm), result.arm.seed - first_seed
        scores = {"test_accuracy": result.test_accuracy, "validation_accuracy": result.validation_accuracy}
        tracking.metrics({f"{cell}/{name}": value for name, value in scores.items()}, step)

    return log


def _cell(arm: Arm) -> str:
    words = [arm.kind, f"n{arm.n_real or 'all'}", f"r{arm.ratio:g}", arm.strategy or ""]
    words.append("" if arm.generator is None else f"g{arm.generator}")
    return "/".join(word for word in words if word)


def outcome_of_study(found: Analysis, record: Path) -> dict[str, Value]:
    """Every gain with its interval, the verdicts at the reference dose, and the digest of the study's record."""
    told: dict[str, Value] = {"record sha256": digest_file(record)}
    told |= {f"verdict/{group}": f"not enough data: {why}" for group, why in found.lacking.items() if why}
    for gain in found.gains:
        if found.lacking[gain.group]:
            continue
        words = [gain.group, f"n{gain.size or 'all'}", gain.strategy or ""]
        name = "/".join(word for word in words if word)
        told |= {f"gain/{name}/r{gain.ratio:g}/{part}": getattr(gain, part) for part in ("value", "low", "high")}
        if gain.ratio == found.reference:
            told[f"verdict/{name}"] = gain.verdict
    return told
