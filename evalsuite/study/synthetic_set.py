"""The synthetic images of an arm: of its generator, its strategy, its skin types, as many as its dose asks for."""

from __future__ import annotations

import re

import numpy as np

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.study.arm import Arm
from evalsuite.training.data.datasets import Data
from shards.mixing.sampling_order import few_per_class, generator
from shards.mixing.tensors import TensorSet

#: V, VI or both, in digits or Roman numerals: 5, FST VI, 5-6, 56.
_FITZPATRICK = re.compile(r"(fst|fitzpatrick|type|skin|tone)*([56]|vi?)([-/\u2013]?([56]|vi?))?")


def candidates(arm: Arm, data: Data, real: TensorSet) -> TensorSet:
    """The synthetic images that an arm with these real images may draw from.

    Raises
    ------
    UserError
        There are none.
    """
    if arm.kind == "untuned":
        if data.untuned is None:
            raise UserError("there are no images of a generator that was not tuned; give its shards as `untuned`")
        return data.untuned
    images = data.synthetic_for(real, arm.strategy, arm.generator)
    if arm.kind != "dark-only":
        return images
    dark = [group for group in images.groups if is_dark(group)]
    if not dark:
        raise UserError(
            f"no synthetic image is of a dark skin type; the groups are {', '.join(images.groups) or 'not known'}, and "
            "Fitzpatrick V and VI, Monk 6 to 10, or tan, brown and dark were expected"
        )
    return images.where(group=dark)


def fewest(arm: Arm, data: Data, real: TensorSet) -> tuple[int, str]:
    """The fewest candidates of one class, and the class."""
    images = candidates(arm, data, real)
    counts = np.bincount(images.labels, minlength=len(data.classes))
    return int(counts.min()), data.classes[int(counts.argmin())]


def synthetic_set(arm: Arm, data: Data, real: TensorSet) -> TensorSet:
    """The synthetic images of an arm with these real images.

    Raises
    ------
    UserError
        There are too few for the ratio.
    """
    images = candidates(arm, data, real)
    per_class = round(real.n * arm.ratio / len(real.classes))
    held, scarce = fewest(arm, data, real)
    if held < per_class:
        raise UserError(
            f"{per_class} synthetic (ratio {arm.ratio:g}) images per class are asked for, but {scarce} has {held}; "
            "generate more, or ask for less"
        )
    chosen = images.take(few_per_class(images.rows, per_class, arm.seed))
    return shuffled(chosen, arm.seed) if arm.kind == "shuffled-labels" else chosen


def shuffled(images: TensorSet, seed: int) -> TensorSet:
    """The same images with their labels permuted among them: as many of each class, and nothing to learn."""
    view = images.take(np.arange(images.n))
    order = generator(seed, 0x9_1ACE).permutation(images.n)
    view.rows = view.rows.assign(**{"class": view.rows["class"].to_numpy()[order]})
    return view


def is_dark(group: str) -> bool:
    """Whether a skin type is dark: Fitzpatrick V and VI, or the darker half of Monk's scale or of the tones."""
    if group in TONE_GROUPS:
        return TONE_GROUPS.index(group) >= len(TONE_GROUPS) // 2
    if monk := re.fullmatch(r"monk-(\d+)", group):
        return int(monk[1]) >= 6
    return _FITZPATRICK.fullmatch(re.sub(r"[\s_]+", "", group.lower())) is not None
