"""One phantom: skin, lesion, hair and camera put together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import TONE_GROUPS, linear_to_srgb, srgb_to_lab
from gen.phantoms import lesions
from gen.phantoms.hair import strands
from gen.phantoms.skin import ITA_RANGE, chromophores, exposure_for, light, reflect

_DRAWERS: dict[str, Callable[..., lesions.Lesion]] = {
    "annulus": lesions.annulus,
    "macule": lesions.macule,
    "nodule": lesions.nodule,
    "papules": lesions.papules,
    "plaque": lesions.plaque,
    "ulcer": lesions.ulcer,
}
CLASSES: tuple[str, ...] = tuple(_DRAWERS)
SIZES = (32, 1024)


@dataclass(frozen=True)
class Phantom:
    """image: uint8 [size, size, 3]; mask: lesion; skin: bare skin, without lesion and hair, bool [size, size]."""

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    skin: NDArray[np.bool_]
    params: dict[str, float | str | int]


def draw(cls: str, group: str, seed: int, size: int = 64) -> Phantom:
    """Draw the phantom of a class, a tone group and a seed; the same arguments give the same pixels.

    Raises
    ------
    UserError
        For an unknown class or group, or a size outside 32 to 1024 px.
    """
    _check(cls, group, size)
    rng = np.random.default_rng(_entropy(cls, group, seed))
    angle = float(rng.uniform(*ITA_RANGE[group]))
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis, axis)

    melanin, haemoglobin = chromophores(rng, size, angle)
    lesion = _DRAWERS[cls](rng, x, y)
    lit = light(rng, x, y)
    linear = reflect(melanin + lesion.melanin, haemoglobin + lesion.haemoglobin)
    linear = linear + lesion.pale[..., None] * (_white(linear) - linear)
    linear = linear * lit * _shading(rng, lesion.relief, size)[..., None]

    number_of_hairs = int(rng.poisson(rng.choice([0.0, 3.0, 8.0], p=[0.5, 0.35, 0.15])))
    hair = strands(rng, size, number_of_hairs) * rng.uniform(0.35, 0.75)
    linear = linear + hair[..., None] * (0.25 * linear - linear)

    skin = (lesion.cover < 0.02) & (hair < 0.02)
    gain = exposure_for(srgb_to_lab(linear_to_srgb(linear[skin])).mean(0), angle) if skin.any() else 1.0
    image = _photograph(rng, np.clip(linear * gain, 0, 1), size)
    params: dict[str, float | str | int] = {
        "ita": round(angle, 3),
        "melanin": round(float(melanin.mean()), 4),
        "lesions": lesion.number,
        "lesion_area": round(float((lesion.cover > 0.5).mean()), 4),
        "hairs": number_of_hairs,
        "draw_seed": seed,
    }
    return Phantom(
        image=np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), mask=lesion.cover > 0.5, skin=skin, params=params
    )


def _check(cls: str, group: str, size: int) -> None:
    if cls not in _DRAWERS:
        raise UserError(f"unknown phantom class {cls!r}; expected one of {', '.join(CLASSES)}")
    if group not in ITA_RANGE:
        raise UserError(f"unknown tone group {group!r}; expected one of {', '.join(TONE_GROUPS)}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"phantom size {size} px; expected {SIZES[0]} to {SIZES[1]}")


def _entropy(cls: str, group: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{cls}/{group}/{seed}".encode()).digest()[:16], "big")


def _white(linear: NDArray[np.floating]) -> NDArray[np.floating]:
    """Scale and slough: paler and yellower than the skin below, in the same light."""
    return np.asarray(0.3 * linear + 0.6 * np.sqrt(linear) * np.array([1.0, 0.96, 0.85], dtype=np.float32))


def _photograph(rng: np.random.Generator, linear: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """The camera: focus that varies between pictures, and the sensor's noise; sRGB, not yet clipped."""
    blur = rng.uniform(0.003, 0.020) * size
    seen = linear_to_srgb(ndimage.gaussian_filter(linear, (blur, blur, 0), mode="nearest"))
    return seen + rng.normal(0, rng.uniform(0.001, 0.010), linear.shape)


def _shading(rng: np.random.Generator, relief: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """Lambertian shading of a relief, 1 where it is flat, [size, size]."""
    way = rng.uniform(0, 2 * np.pi)
    dy, dx = np.gradient(relief, 2 / size)
    slope = -(dx * np.cos(way) + dy * np.sin(way))
    return np.asarray(np.clip(1 + 0.45 * slope / np.sqrt(1 + dx**2 + dy**2), 0.35, 1.6).astype(np.float32))
