"""Strategies: what is redrawn in which phase, and which pixels of the parent are kept exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gen.plan import masks
from gen.plan.plan import STRENGTHS, PlanRow

Pixels = NDArray[np.uint8]
#: The grey that an inpainting UNet sees where pixels are hidden: 0 on the scale from -1 to 1.
HIDDEN = 128


@dataclass(frozen=True)
class Phase:
    """One run of the solver.

    Attributes
    ----------
    strength
        How far towards pure noise the image is taken first.
    mask
        True where pixels are redrawn, [size, size]; None for everywhere.
    """

    strength: float = 1.0
    mask: masks.Mask | None = None


def phases(row: PlanRow, lesion: masks.Mask | None = None) -> list[Phase]:
    """The phases of a plan row.

    Parameters
    ----------
    lesion
        The parent's own mask at the row's size, for rows whose mask is `lesion`.
    """
    if row.strategy == "text-to-image":
        return [Phase()]
    if row.strategy == "image-to-image":
        return [Phase(row.strength)]
    assert row.mask is not None
    region = masks.for_word(row.mask, row.size, row.seed, row.id, lesion)
    if row.strategy == "inpaint":
        return [Phase(row.strength, region)]
    if row.strategy == "outpaint":
        return [Phase(row.strength, ~region)]
    # The paper's chain: redraw the region, then all but the region and a frame of the photograph.
    return [Phase(STRENGTHS["inpaint"], region), Phase(row.strength, ~region & ~masks.frame(row.size))]


def keep(drawn: Pixels, before: Pixels, mask: masks.Mask | None) -> Pixels:
    """Restore the pixels that must be kept, which an autoencoder does not return exactly."""
    return drawn if mask is None else np.where(mask[..., None], drawn, before)


def hide(image: Pixels, mask: masks.Mask | None) -> Pixels:
    """The image that an inpainting UNet is given: what will be redrawn is grey."""
    return np.full_like(image, HIDDEN) if mask is None else np.where(mask[..., None], np.uint8(HIDDEN), image)
