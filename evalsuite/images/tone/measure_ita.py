"""Measured skin tone: the individual typology angle (ITA) of the bare skin in a picture.

The angle describes a photograph, not a person, because one picture cannot separate light from tone. It serves to
compare requested with measured tone and real with synthetic images, never as a skin-type label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermforge.common.skin_tone import ita
from evalsuite.images.tone.find_skin import find_skin
from evalsuite.images.tone.skin_colour import is_skin_colour

METHOD = "border-plane-otsu-2"
LIGHTING_CAVEAT = (
    "ITA mixes tone with light and camera: "
    "read it as a drift check between requested and measured tone, not as a label."
)
NOT_SKIN_COLOUR = "not a colour that skin has in white light"


@dataclass(frozen=True)
class ToneMeasure:
    """One image's tone; NaN where it cannot be measured."""

    ita: float  # individual typology angle in degrees, higher is lighter
    lightness: float  # of the mean colour of the bare skin, CIELAB under D65
    a: float
    b: float
    bare_share: float  # of the image, 0 to 1
    lesion_share: float
    lesion_contrast: float  # CIELAB distance between lesion and bare skin; 0: no lesion found
    shading: float  # span of L* that the fitted light covers across the image
    not_measured: str = ""  # why there is no angle
    method: str = METHOD


def measure_ita(image: NDArray[np.uint8]) -> ToneMeasure:
    """Tone of the bare skin of an image, uint8 [h, w, 3].

    The angle is that of the mean colour of the bare skin (`find_skin`). There is none where too little bare skin is
    left, or where its colour is not one of skin in white light (`is_skin_colour`); `not_measured` says which.
    UserError for another kind of array.
    """
    skin = find_skin(image)
    share = float(skin.bare.mean())
    if skin.refused:
        nan = float("nan")
        return ToneMeasure(nan, nan, nan, nan, share, nan, nan, nan, skin.refused)
    colour = skin.lab[skin.bare].mean(0, dtype=np.float64)
    lightness, a, b = map(float, colour)
    seen = is_skin_colour(lightness, a, b)
    away = (skin.lab - skin.light)[skin.lesion]
    return ToneMeasure(
        ita=float(ita(colour)) if seen else float("nan"),
        lightness=lightness,
        a=a,
        b=b,
        bare_share=share,
        lesion_share=float(skin.lesion.mean()),
        lesion_contrast=float(np.linalg.norm(away.mean(0))) if len(away) else 0.0,
        shading=float(np.ptp(skin.light[..., 0])),
        not_measured="" if seen else NOT_SKIN_COLOUR,
    )


def tone_index(angle: float, cuts: tuple[float, ...]) -> int:
    """Which of the six groups an angle falls in: 0 the lightest, 5 the darkest; -1 for NaN."""
    return -1 if np.isnan(angle) else next((i for i, low in enumerate(cuts) if angle > low), len(cuts))
