"""Bare skin: melanin and haemoglobin over a bright base, lit unevenly, at a chosen typology angle."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermforge.common.skin_tone import ita, linear_to_srgb, srgb_to_lab

Array = NDArray[np.floating]

# Optical densities per unit for red, green and blue (about 610, 545 and 460 nm). Melanin falls smoothly with
# the wavelength and haemoglobin peaks in the green (Jacques 2013, doi:10.1088/0031-9155/58/11/R37).
MELANIN = np.array([0.85, 1.08, 1.36], dtype=np.float32)
HAEMOGLOBIN = np.array([0.08, 0.80, 0.50], dtype=np.float32)
BASE = np.array([0.28, 0.40, 0.52], dtype=np.float32)
RESTING_HAEMOGLOBIN = 0.25

#: Typology angles drawn for each group, in degrees: inside the Del Bino cut-points, clear of the borders.
ITA_RANGE: dict[str, tuple[float, float]] = {
    "very_light": (57.0, 68.0),
    "light": (43.0, 53.0),
    "intermediate": (30.0, 39.0),
    "tan": (12.0, 26.0),
    "brown": (-26.0, 6.0),
    "dark": (-58.0, -34.0),
}


def reflect(melanin: Array, haemoglobin: Array) -> Array:
    """Linear RGB that two chromophore maps of shape [...] reflect, shape [..., 3] (Beer-Lambert)."""
    density = BASE + melanin[..., None] * MELANIN + haemoglobin[..., None] * HAEMOGLOBIN
    return np.asarray(np.exp(-density))


@cache
def _melanin_table() -> tuple[Array, Array]:
    melanin = np.linspace(0.0, 4.0, 400, dtype=np.float32)
    angle = ita(srgb_to_lab(linear_to_srgb(reflect(melanin, np.full_like(melanin, RESTING_HAEMOGLOBIN)))))
    return angle[::-1], melanin[::-1]


def melanin_for(angle: float) -> float:
    """The melanin content whose even skin has this typology angle, in degrees."""
    angles, melanin = _melanin_table()
    return float(np.interp(angle, angles, melanin))


def exposure_for(lab: Array, angle: float) -> float:
    """The gain on linear light that brings skin of mean CIELAB `lab` to a typology angle, in degrees.

    A gain g scales L* + 16 and b* by g**(1/3), so tan(angle) = (L* - 50) / b* can be solved for g.
    """
    s = 66.0 / (lab[0] + 16.0 - lab[2] * np.tan(np.radians(angle)))
    return float(s**3)


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> Array:
    """Standard normal noise with `cells` cells across the image, shape [size, size]."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def chromophores(rng: np.random.Generator, size: int, angle: float) -> tuple[Array, Array]:
    """Melanin and haemoglobin maps of textured bare skin, each [size, size]."""
    mottled = 0.6 * smooth_noise(rng, size, 5) + 0.4 * smooth_noise(rng, size, 12) + 0.5 * smooth_noise(rng, size, 32)
    flushed = 0.7 * smooth_noise(rng, size, 4) + 0.5 * smooth_noise(rng, size, 16)
    level = melanin_for(angle)
    melanin = np.maximum(level + (0.02 + 0.025 * level) * rng.uniform(0.5, 1.3) * mottled, 0.0)
    return melanin, np.maximum(RESTING_HAEMOGLOBIN + 0.05 * rng.uniform(0.5, 1.5) * flushed, 0.0)


def light(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Light that falls off across the picture and is slightly tinted, [size, size, 3], mean about 1."""
    direction, fall_off = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.16)
    gradient = 1 + fall_off * (np.cos(direction) * x + np.sin(direction) * y)
    vignette = 1 - rng.uniform(0, 0.08) * (x**2 + y**2)
    tint = 1 + rng.uniform(-0.035, 0.035, 3)
    return np.asarray(((gradient * vignette)[..., None] * tint).astype(np.float32))
