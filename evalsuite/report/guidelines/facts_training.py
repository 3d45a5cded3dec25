"""Facts of the design and of training: what was compared, how the classifier was made, what its output is."""

from __future__ import annotations

from evalsuite.report import methods
from evalsuite.report.guidelines.artefacts import Artefacts, Trial
from evalsuite.report.guidelines.fact import Fact, listed
from evalsuite.study.kinds import WHAT
from evalsuite.study.outcomes import in_words
from evalsuite.training.recipe import HUB, SCRATCH


def goal(found: Artefacts) -> Fact | None:
    """What the study compares, by which outcome, and which difference matters."""
    if found.trial is None:
        return None
    design = found.trial.study.design
    doses = sorted({ratio for ratios in design.doses.values() for ratio in ratios if ratio})
    return Fact(
        "The study compares a classifier that is trained on real images alone with the same one trained on real and "
        f"synthetic ones ({listed([f'{d:g}' for d in doses])} for each real one). Outcome: {in_words(design.metric)}; "
        f"differences of up to {100 * design.margin:g} points do not matter. Both were fixed before training.",
        _plan(found.trial),
    )


def subsets(found: Artefacts) -> Fact | None:
    """Which of the training images an arm has."""
    if found.trial is None:
        return None
    sizes = found.trial.study.design.sizes
    if sizes == [0]:
        return Fact("All real training images were used.", _plan(found.trial))
    named = listed(["all" if size == 0 else str(size) for size in sizes])
    return Fact(
        f"Real training images per class: {named}, drawn by the seed of the arm, spread over skin types, smaller sets "
        "within larger ones. All validation and test images were used.",
        _plan(found.trial),
    )


def preprocessing(found: Artefacts) -> Fact | None:
    """How images become the classifier's input."""
    if found.trial is None:
        return None
    recipe = found.trial.study.design.recipe
    if recipe.on_given_features:
        return None
    augment = {
        "none": "no augmentation",
        "light": "any turn and flip, scale by up to 15 %, shift and light by up to 10 %, a slight colour cast",
        "randaugment": "a flip, then RandAugment with 2 operations of magnitude 9",
    }[recipe.augment if recipe.tuning != "features" else "none"]
    return Fact(
        f"Images were resized to {recipe.size} x {recipe.size} px and normalised by the means and deviations of "
        f"{recipe.model} (timm), in all groups alike. While training: {augment}; while testing: none.",
        _plan(found.trial),
    )


def classifier(found: Artefacts) -> Fact | None:
    """The architecture, its input and its output."""
    if found.trial is None:
        return None
    recipe = found.trial.study.design.recipe
    classes = _classes(found)
    output = f" Output: a probability for each of {len(classes)} classes ({listed(classes)})." if classes else ""
    return Fact(f"Classifier: {recipe.summary()}.{output}", _plan(found.trial))


def output(found: Artefacts) -> Fact | None:
    """What the model gives, and how a class is chosen."""
    classes = _classes(found)
    if not classes:
        return None
    fixed = ""
    if found.card is not None and any(found.card.thresholds.get("global", {}).values()):
        fixed = (
            f" Thresholds for a specificity of {found.card.settings.specificity:g} were fixed on the validation "
            "predictions."
        )
    return Fact(
        f"The output is a probability for each of {len(classes)} classes; the likeliest class is taken.{fixed}",
        found.card_from or (_plan(found.trial) if found.trial else ""),
    )


def initialisation(found: Artefacts) -> Fact | None:
    """Where the weights began."""
    if found.trial is None:
        return None
    recipe = found.trial.study.design.recipe
    begin = {SCRATCH: f"at random, by {_seeds(found.trial)}", HUB: "with timm's published pretrained weights"}
    what = begin.get(recipe.weights, "with weights from a local file")
    new = "" if recipe.weights == SCRATCH else f"; the new head at random, by {_seeds(found.trial)}"
    return Fact(f"All parameters began {what}{new}.", _plan(found.trial))


def training(found: Artefacts) -> Fact | None:
    """Optimiser, steps, augmentation; and what each arm saw."""
    if found.trial is None:
        return None
    results = found.trial.study.results
    return Fact(
        f"{trained(found.trial)} {len(results)} models were trained, with {_seeds(found.trial)}.",
        f"{_plan(found.trial)} and arms",
    )


def trained(trial: Trial) -> str:
    """The paragraph on training, with the images that chose the weights."""
    design, said = trial.study.design, methods.training(trial.study.design.recipe)
    own = f"{100 * design.val_fraction:g} % of each arm's own real images"
    return said.replace("on real validation images", f"on {own}") if design.val_fraction else said


def selection(found: Artefacts) -> Fact | None:
    """How the weights of the final model were chosen."""
    if found.trial is None:
        return None
    design = found.trial.study.design
    where = (
        f"{100 * design.val_fraction:g} % of each arm's own real images"
        if design.val_fraction
        else "the real validation images"
    )
    every = design.recipe.evaluate_every
    return Fact(
        f"Of the weights after every {every} steps, those with the least loss on {where} were kept. No test image "
        "took part, and the program searched no hyperparameters.",
        f"{_plan(found.trial)} and arms",
    )


def arms_compared(found: Artefacts) -> Fact | None:
    """The baseline, and the controls for other causes of a gain."""
    if found.trial is None:
        return None
    design = found.trial.study.design
    trained_too = design.control_kinds if found.trial.run is None and design.controls else ()
    controls = listed([WHAT[kind] for kind in trained_too])
    more = f" Controls: {controls}." if controls else ""
    return Fact(
        f"Baseline: the same classifier on real images alone, as many optimiser steps, the same test images.{more}",
        _plan(found.trial),
    )


def sensitivity_analyses(found: Artefacts) -> Fact | None:
    """What was varied; None for one arm of one size and dose."""
    if found.trial is None or found.trial.run is not None:
        return None
    design = found.trial.study.design
    doses = sorted({ratio for ratios in design.doses.values() for ratio in ratios if ratio})
    varied = [
        f"real images per class ({listed([str(s) for s in design.sizes])})" if len(design.sizes) > 1 else "",
        f"dose ({listed([f'{d:g}' for d in doses])} synthetic images for each real one)" if len(doses) > 1 else "",
        f"strategy ({listed([s for s in design.strategies if s])})" if len(design.strategies) > 1 else "",
        f"controls ({listed(list(design.control_kinds))})" if design.controls and design.control_kinds else "",
        f"seed ({design.seeds})" if design.seeds > 1 else "",
    ]
    said = [v for v in varied if v]
    return Fact(f"Varied on the same test images: {listed(said)}.", _plan(found.trial)) if said else None


def balance(found: Artefacts) -> Fact | None:
    """How unequal classes were handled; None where nothing was done."""
    if found.trial is None:
        return None
    recipe = found.trial.study.design.recipe
    done = ["the loss was weighted by inverse class frequency"] if recipe.class_weights else []
    done += ["every class was drawn equally often"] if recipe.balanced else []
    if not done:
        return None
    return Fact(f"For classes of unequal size {' and '.join(done)}; nothing was recalibrated.", _plan(found.trial))


def record(found: Artefacts) -> Fact | None:
    """The design on disk."""
    if found.trial is None:
        return None
    return Fact(
        f"{_plan(found.trial)} holds the whole design, and ends in its own sha256; written by "
        f"{found.trial.study.design.created_by or 'a version that is not recorded'} before the first arm was trained.",
        _plan(found.trial),
    )


def software(found: Artefacts) -> Fact | None:
    """The version that wrote the plan, and those that are installed now."""
    if found.trial is None or not found.trial.study.design.created_by:
        return None
    now = methods.software().removeprefix("Software: ")
    return Fact(
        f"The plan was written by {found.trial.study.design.created_by}. Where this checklist was made: {now}",
        f"{_plan(found.trial)} and this environment",
    )


def compute(found: Artefacts) -> Fact | None:
    """How long training took."""
    if found.trial is None:
        return None
    results = found.trial.study.results
    hours = sum(r.seconds for r in results) / 3600
    recipe = found.trial.study.design.recipe
    return Fact(
        f"Training {len(results)} models of {recipe.steps} steps took {hours:.2g} hours in all; the machine is not "
        "recorded.",
        f"{found.trial.name}/arms",
    )


def stored(found: Artefacts) -> Fact | None:
    """What of the outputs is kept."""
    if found.trial is None:
        return None
    return Fact(
        "The probabilities of every test image are kept for every model (predictions.parquet, with a digest), so that "
        "all numbers can be computed again with `evalsuite report`.",
        f"{found.trial.name}/arms",
    )


def pixels_alone(found: Artefacts) -> Fact | None:
    """What the index test could see."""
    if found.trial is None or found.trial.study.design.recipe.on_given_features:
        return None
    return Fact(
        "The classifier gets the pixels of one image and nothing else: no clinical information and no reference label.",
        _plan(found.trial),
    )


def _classes(found: Artefacts) -> list[str]:
    if found.card is not None:
        return list(found.card.classes)
    return list(found.real.classes) if found.real is not None else []


def _seeds(trial: Trial) -> str:
    design = trial.study.design
    seeds = listed([str(design.recipe.seed + number) for number in range(design.seeds)])
    return f"the seed{'s' if design.seeds > 1 else ''} {seeds}"


def _plan(trial: Trial) -> str:
    return f"{trial.name}/plan.json"
