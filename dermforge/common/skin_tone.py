"""Measured skin tone: sRGB to CIELAB, the individual typology angle, and its named cut-points."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Chardon 1991 / Del Bino 2013, in degrees: lower bounds from the lightest group to the darkest.
DEL_BINO: dict[str, float] = {
    "very_light": 55.0,
    "light": 41.0,
    "intermediate": 28.0,
    "tan": 10.0,
    "brown": -30.0,
    "dark": -90.0,
}
TONE_GROUPS: tuple[str, ...] = tuple(DEL_BINO)


def in_order(groups: Collection[str]) -> list[str]:
    """Tone groups from light to dark, other groups sorted."""
    return [g for g in TONE_GROUPS if g in groups] if set(groups) <= set(TONE_GROUPS) else sorted(groups)


_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_D65 = np.array([0.95047, 1.0, 1.08883])


def srgb_to_linear(srgb: ArrayLike) -> NDArray[np.floating]:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    c = np.asarray(srgb, dtype=np.float32)
    return np.where(c <= 0.04045, c / 12.92, ((np.maximum(c, 0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: ArrayLike) -> NDArray[np.floating]:
    """Linear light to sRGB, clipped to [0, 1] (IEC 61966-2-1)."""
    c = np.clip(np.asarray(linear, dtype=np.float32), 0, 1)
    return np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055)


def srgb_to_lab(srgb: ArrayLike) -> NDArray[np.floating]:
    """sRGB in [0, 1], shape [..., 3], to CIELAB under D65 (CIE 15)."""
    xyz = srgb_to_linear(srgb) @ _RGB_TO_XYZ.T.astype(np.float32) / _D65.astype(np.float32)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ita(lab: ArrayLike) -> NDArray[np.floating]:
    """Individual typology angle in degrees, higher is lighter: atan2(L* - 50, b*) (Chardon 1991).

    Parameters
    ----------
    lab
        CIELAB, shape [..., 3]. Average the bare skin first: the mean of angles is not the angle of means.
    """
    lab = np.asarray(lab, dtype=np.float64)
    return np.asarray(np.degrees(np.arctan2(lab[..., 0] - 50, lab[..., 2])))
