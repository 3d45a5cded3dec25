"""Which colours bare skin can have in white light, whatever the exposure: others have no typology angle."""

from __future__ import annotations

import math

#: Least b* / (L* + 16). The palest skin known to us has 0.12 (68.2, 10.2, 10.2: an angle of 61 degrees; International
#: Skin Spectra Archive, Lu 2025), Koreans' average is 0.22 (61.7, 9.6, 17.1; Han 2006), dark skin has 0.34 (26.7, 14.6,
#: 14.7; IADR 2009, abstract 120461).
YELLOWNESS = 0.09
#: Hue angles in degrees. Koreans' average is 61; the reddest skin known to us, tip of the nose and upper lip, has 27.5
#: (41.5, 25.5, 13.3; the same abstract). The other side is wide because the angle does not depend on a*.
HUE = (25.0, 110.0)
#: Most chroma / (L* + 16). The reddest skin has 0.50, the palest 0.17.
SATURATION = 0.6


def is_skin_colour(lightness: float, a: float, b: float) -> bool:
    """Whether a CIELAB colour (D65) can be that of skin in white light.

    A gain on the light scales L* + 16, a* and b* alike, so the hue and both ratios do not depend on the exposure. They
    do depend on the colour of the light and on the white balance: grey, bluish and pink pictures, of which dermoscopes
    make many, are refused.
    """
    level = lightness + 16
    hue, chroma = math.degrees(math.atan2(b, a)), math.hypot(a, b)
    return b / level >= YELLOWNESS and HUE[0] <= hue <= HUE[1] and chroma / level <= SATURATION
