"""The six morphologies: what each adds to the skin's chromophores and relief.

Every function takes a generator and the grid (x, y in [-1, 1], y downwards) and returns a `Lesion`.
Outlines, contrast, colour, number and place vary, so that some lesions could be of two classes, as in patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gen.phantoms.skin import smooth_noise

Array = NDArray[np.floating]


@dataclass
class Lesion:
    """Maps of shape [size, size].

    cover: how much of the pixel is lesion, 0 to 1; melanin and haemoglobin: what is added to the skin;
    relief: height, in half image widths; pale: share of white (scale, slough) over the skin, 0 to 1.
    """

    cover: Array
    melanin: Array
    haemoglobin: Array
    relief: Array
    pale: Array
    number: int = 1


@dataclass
class _Blob:
    inside: Array  # 1 within, 0 outside, soft between
    depth: Array  # 0 at the outline, 1 at the centre, negative outside
    radius: float


@dataclass(frozen=True)
class _Outline:
    """A closed outline. ragged: depth of its notches; soft: width of its edge; aspect: how much it may be stretched."""

    radius: float
    ragged: float
    soft: float
    aspect: float = 0.25


def _blob(
    rng: np.random.Generator, x: Array, y: Array, shape: _Outline, centre: tuple[float, float] | None = None
) -> _Blob:
    cx, cy = centre if centre is not None else rng.uniform(-0.25, 0.25, 2)
    turn, stretch = rng.uniform(0, np.pi), 1 + rng.uniform(0, shape.aspect)
    u = ((x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)) / stretch
    v = (-(x - cx) * np.sin(turn) + (y - cy) * np.cos(turn)) * stretch
    angle = np.arctan2(v, u)
    radius = shape.radius
    outline = np.full_like(x, radius)
    for k in range(2, 7):
        outline = outline + radius * shape.ragged / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    depth = 1 - np.sqrt(u**2 + v**2) / np.maximum(outline, 0.3 * radius)
    inside = 1 / (1 + np.exp(np.clip(-depth * radius / shape.soft, -30, 30)))
    return _Blob(inside.astype(np.float32), depth.astype(np.float32), radius)


def _colour(rng: np.random.Generator, contrast: float) -> tuple[float, float]:
    """How much melanin and haemoglobin a lesion adds: red, brown or both."""
    redness = rng.beta(1.2, 1.2)
    return contrast * (0.10 + 0.75 * (1 - redness)), contrast * (0.10 + 1.5 * redness)


def _zeros(x: Array) -> Array:
    return np.zeros_like(x)


def macule(rng: np.random.Generator, x: Array, y: Array) -> Lesion:
    """Flat, of one colour, smooth edge."""
    contrast = rng.uniform(0.35, 1.0)
    blob = _blob(rng, x, y, _Outline(rng.uniform(0.24, 0.48), rng.uniform(0.05, 0.25), rng.uniform(0.015, 0.05)))
    m, h = _colour(rng, contrast)
    mottle = 1 + 0.10 * smooth_noise(rng, x.shape[0], 8)
    return Lesion(blob.inside, m * mottle * blob.inside, h * mottle * blob.inside, _zeros(x), _zeros(x))


def plaque(rng: np.random.Generator, x: Array, y: Array) -> Lesion:
    """Broad, raised at a ragged edge, covered with pale scale."""
    contrast = rng.uniform(0.35, 1.0)
    blob = _blob(rng, x, y, _Outline(rng.uniform(0.30, 0.52), rng.uniform(0.15, 0.40), rng.uniform(0.012, 0.03)))
    m, h = _colour(rng, contrast)
    size = x.shape[0]
    flakes = 0.7 * smooth_noise(rng, size, 10) + 0.7 * smooth_noise(rng, size, 18)
    pale = blob.inside * np.clip((flakes - rng.uniform(-0.2, 0.5)) * 0.9, 0, 1) * rng.uniform(0.30, 0.65)
    relief = 0.035 * rng.uniform(0.5, 1.2) * np.clip(blob.depth * 6, 0, 1)
    return Lesion(blob.inside, m * blob.inside, h * blob.inside, relief * blob.inside, pale)


def nodule(rng: np.random.Generator, x: Array, y: Array) -> Lesion:
    """One round dome."""
    contrast = rng.uniform(0.25, 0.9)
    blob = _blob(
        rng, x, y, _Outline(rng.uniform(0.26, 0.46), rng.uniform(0.0, 0.10), rng.uniform(0.015, 0.04), aspect=0.12)
    )
    m, h = _colour(rng, contrast)
    dome = np.sqrt(np.clip(1 - (1 - np.clip(blob.depth, 0, 1)) ** 2, 0, 1))
    relief = blob.radius * rng.uniform(0.22, 0.50) * dome
    return Lesion(blob.inside, m * blob.inside, h * blob.inside, relief, _zeros(x))


def annulus(rng: np.random.Generator, x: Array, y: Array) -> Lesion:
    """A ring with a cleared centre."""
    contrast = rng.uniform(0.35, 1.0)
    radius = rng.uniform(0.32, 0.54)
    blob = _blob(rng, x, y, _Outline(radius, rng.uniform(0.03, 0.20), rng.uniform(0.012, 0.03)))
    width, clearing = rng.uniform(0.25, 0.50), rng.uniform(0.55, 1.0)
    centre = 1 / (1 + np.exp(np.clip(-(blob.depth - width) / 0.06, -30, 30)))
    ring = (blob.inside * (1 - clearing * centre)).astype(np.float32)
    m, h = _colour(rng, contrast)
    relief = 0.03 * rng.uniform(0.3, 1.2) * np.exp(-(((blob.depth - width / 2) / (0.45 * width)) ** 2))
    return Lesion(blob.inside, m * ring, h * ring, relief * blob.inside, _zeros(x))


def papules(rng: np.random.Generator, x: Array, y: Array) -> Lesion:
    """Several small domes in a loose group."""
    contrast = rng.uniform(0.35, 1.0)
    number = int(rng.integers(4, 11))
    cx, cy = rng.uniform(-0.18, 0.18, 2)
    spread = rng.uniform(0.34, 0.55)
    cover, melanin, haemoglobin, relief = _zeros(x), _zeros(x), _zeros(x), _zeros(x)
    m, h = _colour(rng, contrast)
    for _ in range(number):
        way, far = rng.uniform(0, 2 * np.pi), spread * np.sqrt(rng.uniform(0.02, 1))
        centre = (cx + far * np.cos(way), cy + far * np.sin(way))
        blob = _blob(rng, x, y, _Outline(rng.uniform(0.09, 0.15), 0.08, rng.uniform(0.012, 0.025), aspect=0.2), centre)
        dome = np.sqrt(np.clip(1 - (1 - np.clip(blob.depth, 0, 1)) ** 2, 0, 1))
        cover = np.maximum(cover, blob.inside)
        melanin, haemoglobin = np.maximum(melanin, m * blob.inside), np.maximum(haemoglobin, h * blob.inside)
        relief = np.maximum(relief, blob.radius * 0.4 * dome)
    return Lesion(cover, melanin, haemoglobin, relief, _zeros(x), number)


def ulcer(rng: np.random.Generator, x: Array, y: Array) -> Lesion:
    """A raw, sunken centre with yellow slough inside a raised rim."""
    contrast = rng.uniform(0.35, 1.0)
    blob = _blob(rng, x, y, _Outline(rng.uniform(0.30, 0.50), rng.uniform(0.10, 0.35), rng.uniform(0.012, 0.035)))
    edge = rng.uniform(0.22, 0.42)
    crater = (1 / (1 + np.exp(np.clip(-(blob.depth - edge) / 0.05, -30, 30)))).astype(np.float32)
    m, h = _colour(rng, contrast)
    size = x.shape[0]
    slough = crater * np.clip(smooth_noise(rng, size, 9) * 0.5 + 0.1, 0, 1) * rng.uniform(0.15, 0.5)
    raw = blob.inside * (0.45 + 0.9 * crater)
    relief = 0.05 * np.exp(-(((blob.depth - edge / 2) / (0.5 * edge)) ** 2)) - 0.09 * crater
    return Lesion(
        blob.inside,
        0.5 * m * raw + 0.3 * contrast * crater,
        (h + 0.5 * contrast) * raw,
        relief * rng.uniform(0.5, 1.1),
        slough,
    )
