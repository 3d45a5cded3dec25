"""Paragraphs for a paper's methods section, and the limits that go with every report."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from evalsuite.training.recipe import HUB, SCRATCH, Recipe

if TYPE_CHECKING:
    from evalsuite.fairness.card import Card
    from evalsuite.fairness.predictions import Predictions
    from evalsuite.study.run_findings import RunFindings

LIMITS = (
    "Skin type is as labelled. Labels by different raters agree exactly in only about half of the images of public "
    "dermatology sets; `evalsuite fairness --rater-b` shows whether a conclusion depends on them.",
    "A difference that was not found may still exist: see the detectable differences.",
    "One test set is one place and time. A gain here says little about another clinic, camera or population.",
    "Synthetic images do not replace diverse real ones: collect those first.",
    "This is research software. It is not a medical device and must not guide the care of a patient.",
)
PHANTOMS = (
    "The images are phantoms: drawings with a known truth, not patients and not any disease. They show that the chain "
    "works and what it would find; they say nothing about medicine."
)


def of_run(found: RunFindings) -> list[str]:
    """The methods of a run."""
    n, design = found.tests["real"].n, found.study.design
    seeds = design.seeds
    over = "test images" if seeds == 1 else f"test images and {seeds} seeds"
    return [
        training(design.recipe, found.study.results[0].real),
        f"Two arms were compared: real images only, and real images with {found.ratio:g} synthetic images "
        "for each real one, mixed exactly (largest remainder) in every batch. Both made the same number of optimiser "
        f"steps. They were tested on the same {n} real images. Accuracies of single models have Wilson intervals, "
        "AUROC DeLong intervals, means of shares Price and Bonett's, average precision, macro F1 and the Brier score "
        "Wilson intervals with an effective sample size (of a jackknife, and of the metric's derivatives); the "
        f"difference between the arms has a paired 95% interval over {over}, and each group Tango's score interval of "
        "the paired difference, with Holm's correction over the skin types. The largest difference between groups has "
        "an interval and a p from the intervals of the groups, corrected for the number of pairs (max-T).",
        software(),
    ]


def of_card(card: Card, test: Predictions) -> list[str]:
    """The methods of a card, ready for a paper."""
    s = card.settings
    many = "each image taken as independent"
    if test.clusters is not None:
        many = f"clustered by {len(set(test.clusters.tolist()))} patients or duplicate families"
    fixed = (
        f" Thresholds for a specificity of {s.specificity:g} were fixed on separate validation predictions, over "
        "all images and for each group."
        if card.thresholds
        else ""
    )
    return [
        f"Predictions of {len(card.classes)} classes on {test.n} test images were evaluated overall and by "
        f"{', '.join(card.columns)}, {many}. Proportions have Wilson intervals (counts divided by the design effect), "
        "AUROC DeLong intervals on the logit scale, means of shares (balanced accuracy) Price and Bonett's, average "
        "precision, macro F1 and the Brier score Wilson intervals with an effective sample size: of a jackknife, and "
        f"of the metric's derivatives; all at {s.confidence:.0%}. The variance of clustered rows is Bell and "
        "McCaffrey's, with Student's quantile. Calibration error is over equal-mass bins with its bias removed, slope "
        f"and intercept by logistic recalibration with robust errors.{fixed} Numbers that rest on fewer than "
        f"{s.min_count} images are not reported.",
        "Gaps are the largest difference between groups with enough data. The interval of each pair of groups follows "
        "from the intervals of both (MOVER; Newcombe's for shares), all pairs hold together (max-T), and the p is the "
        f"level at which the interval touches 0. The gap in {card.label(card.primary)} was named in advance"
        f"{f', of {card.contrast}' if card.contrast else ''}; others are exploratory. "
        "Accuracies of intersections are also shown shrunk by a beta-binomial model.",
        software(),
    ]


def training(recipe: Recipe, real: int | None = None) -> str:
    """One paragraph on how the classifier was trained; `real` is its number of real images, where there is but one."""
    images = "real images" if real is None else f"{real} real images"
    weights = {SCRATCH: "from scratch", HUB: "from pretrained weights"}.get(recipe.weights, "from local weights")
    what = {
        "full": "all weights",
        "head": "the classifier and the batch norms, the body frozen",
        "features": "a linear classifier on the frozen body's features",
    }[recipe.tuning]
    extras = [
        f"label smoothing {recipe.label_smoothing:g}" if recipe.label_smoothing else "",
        "no augmentation"
        if recipe.tuning == "features"
        else {
            "none": "no augmentation",
            "light": "random turns, flips, small shifts and colour casts",
            "randaugment": "RandAugment (2 operations of magnitude 9)",
        }[recipe.augment],
        "inverse-frequency class weights" if recipe.class_weights else "",
        "class-balanced sampling" if recipe.balanced else "",
        f"a moving average of the weights ({recipe.ema:g})" if recipe.ema else "",
        "separate batch norm statistics for synthetic images" if recipe.split_bn else "",
    ]
    subject = f"A {recipe.model} (timm) was trained {weights} ({what}) on {images} at {recipe.size} px"
    if recipe.on_given_features:
        subject = f"A linear classifier was trained on a table of features of {images}"
    return (
        f"{subject} with "
        f"{'AdamW' if recipe.optimizer == 'adamw' else 'SGD'} (learning rate {recipe.lr:g}, weight decay "
        f"{recipe.weight_decay:g}, cosine schedule with warm-up) for {recipe.steps} steps of {recipe.batch} images, "
        f"with {', '.join(e for e in extras if e)}. The weights with the least loss on real validation images were "
        "kept."
    )


def software() -> str:
    """Versions that decide the numbers."""
    names = ("dermforge", "torch", "timm", "scikit-learn", "fairlearn")
    known = {d.metadata["Name"].lower() for d in metadata.distributions() if d.metadata["Name"]}
    return "Software: " + ", ".join(f"{n} {metadata.version(n)}" for n in names if n in known) + "."


def limits(phantoms: bool) -> list[str]:
    """What the reader must not conclude."""
    return [PHANTOMS, *LIMITS] if phantoms else list(LIMITS)
