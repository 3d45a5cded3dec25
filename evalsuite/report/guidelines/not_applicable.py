"""When something that a guideline asks for does not apply: a reason that follows from the artefacts, or None."""

from __future__ import annotations

from collections.abc import Callable

from evalsuite.report.guidelines.artefacts import Artefacts
from evalsuite.report.guidelines.facts_images import are_phantoms


def phantoms(found: Artefacts) -> str | None:
    """There is no patient, device or rater behind a drawing."""
    if not are_phantoms(found):
        return None
    return "The real images are phantoms, drawn by a program: there is no patient, clinic, camera or rater behind them."


def single_models(found: Artefacts) -> str | None:
    """The program averages no predictions."""
    if found.trial is None:
        return None
    return "Predictions are those of one trained network each; `evalsuite run` and `study` combine none."


def no_updating(found: Artefacts) -> str | None:
    """Every arm is trained anew."""
    if found.trial is None:
        return None
    return "No existing model was updated or recalibrated: every arm was trained anew, and tested as it was."


def no_balancing(found: Artefacts) -> str | None:
    """Neither weights nor sampling."""
    if found.trial is None:
        return None
    recipe = found.trial.study.design.recipe
    used = recipe.class_weights or recipe.balanced
    return (
        None if used else "No method for classes of unequal size was used: neither class weights nor balanced sampling."
    )


def no_external(found: Artefacts) -> str | None:
    """The plan names no external test images."""
    if found.trial is None or found.trial.study.design.places.external is not None:
        return None
    return "The plan names no external test images, so that there are none to compare with."


def no_synthetic(found: Artefacts) -> str | None:
    """The plan names no synthetic images."""
    if found.trial is None or found.trial.study.design.places.synthetic:
        return None
    return "The plan names no synthetic images."


def one_timepoint(found: Artefacts) -> str | None:
    """Images are classified as they are; nothing is predicted for later."""
    if found.trial is None and found.card is None:
        return None
    return "The class of an image is told from the same image: nothing is predicted for a later time."


CONDITIONS: dict[str, Callable[[Artefacts], str | None]] = {
    made.__name__: made
    for made in (phantoms, single_models, no_updating, no_balancing, no_external, no_synthetic, one_timepoint)
}
