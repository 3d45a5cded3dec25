"""The kinds of arms, in words and in groups. Nothing heavy is imported, so that the command's help comes at once."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "real",
    "mix",
    "real-short",
    "real-repeated",
    "randaugment",
    "synthetic-only",
    "pretrain",
    "all-real",
    "untuned",
    "shuffled-labels",
    "dark-only",
]
#: The optional kinds, and what an arm of each is trained on.
WHAT: dict[Kind, str] = {
    "real-short": "real images only, as few steps as their number alone would give",
    "real-repeated": "real images repeated to the mixed arm's count",
    "randaugment": "real images with RandAugment",
    "synthetic-only": "synthetic images only",
    "pretrain": "synthetic images first, then real ones",
    "all-real": "all real images there are (upper bound)",
    "untuned": "images of a generator that was not tuned",
    "shuffled-labels": "synthetic images with shuffled labels (placebo)",
    "dark-only": "synthetic images of the dark skin types only",
}
#: What a study trains where nothing is named.
CONTROLS: tuple[Kind, ...] = ("real-short", "real-repeated", "randaugment", "synthetic-only")
#: Without synthetic images.
REAL_ONLY: tuple[Kind, ...] = ("real", "real-short", "real-repeated", "randaugment", "all-real")
#: Trained alike whatever the dose.
WITHOUT_DOSE: tuple[Kind, ...] = ("real", "randaugment", "all-real")
#: Trained alike whatever the strategy, and whichever tuned generator there is.
WITHOUT_STRATEGY: tuple[Kind, ...] = (*REAL_ONLY, "untuned")
#: What excludes other causes of a gain: the same effort without synthetic images, and strong classic augmentation.
CAUSAL: tuple[Kind, ...] = ("real-repeated", "randaugment")
