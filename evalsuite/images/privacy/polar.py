"""Polar descriptors: a turn of the picture turns their harmonics, so one description covers every angle.

A round part is sampled on rings. Its Fourier coefficients along the angle change by a known phase when the picture is
turned, and the sign of the sines changes when it is mirrored. Light and contrast drop out by the mean and the norm.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from evalsuite.images.privacy.descriptors import Lab, shrink

Floats = NDArray[np.float32]
GRID = 32  # pixels of the picture that is sampled
ANGLES, TURNS = 24, 16  # samples along a ring; angles that are tried, mirrored and not
RADII = (np.arange(4) + 0.7) / 4 * 0.97  # of the rings, over the radius of the part
LIGHT, COLOUR = 5, 2  # harmonics of lightness in each ring, and of colour in each pair of rings
COLOUR_WEIGHT = 0.5  # below 1, so that a grey copy is found by its lightness
BLUR = 0.11  # of the radius: half of the distance between two rings
SCALES = (1.0, 0.9, 0.8, 0.7, 0.6)  # diameters of the parts, over the shorter side of the picture
STEP = 0.1  # between the centres of parts, over the shorter side
LONGEST = 2.0  # longer pictures are treated as if they were this long
#: Length of a descriptor.
SIZE = len(RADII) * (2 * LIGHT + 1) + len(RADII) // 2 * (2 * COLOUR + 1) * 2


def shape_of(height: int, width: int) -> tuple[float, float]:
    """Height and width over the shorter of them, rounded to a twentieth."""
    shorter = min(height, width)
    tall, wide = (min(round(20 * side / shorter) / 20, LONGEST) for side in (height, width))
    return tall, wide


@lru_cache(maxsize=64)
def discs(shape: tuple[float, float]) -> Floats:
    """Parts of a picture: centre x, y and radius along x, y of each, [n, 4], where the picture reaches from -1 to 1.

    An oblong picture is also described by its middle, which is what is searched for, and as a whole, because it may
    have been squeezed into a square.
    """
    tall, wide = shape
    found = []
    for scale in SCALES:
        reaches = ((1 - scale / side, round((side - scale) / STEP) + 1) for side in shape)
        rows, columns = (np.linspace(-reach, reach, n) if n > 1 else np.zeros(1) for reach, n in reaches)
        found += [(x, y, scale / wide, scale / tall) for y in rows for x in columns]
    if max(shape) > 1:
        found += [(0, 0, 1 / wide, 1 / tall), (0, 0, 1, 1)]
    return np.array(found, dtype=np.float32)


def describe_parts(lab: Lab, shape: tuple[float, float]) -> Floats:
    """Descriptors of the parts of a square (perhaps squeezed) picture, [n, SIZE]."""
    across, down = _samplers(shape)
    planes = shrink(lab, GRID).transpose(2, 0, 1)
    samples = (down * (planes.reshape(-1, GRID) @ across).reshape(3, GRID, -1)).sum(1)  # [3, n * rings * angles]
    return _described(samples.reshape(3, -1, len(RADII) * ANGLES))


def describe_whole(lab: Lab) -> Floats:
    """Descriptor of the largest round part of a square picture, [SIZE]."""
    return np.asarray(describe_parts(lab, (1.0, 1.0))[0])


def _described(samples: Floats) -> Floats:
    """Coefficients of samples [3, n, rings * angles] less their mean; lightness and colour each of norm 1."""
    light, colour = _bases()
    parts = []
    for planes, basis, least, weight in ((samples[:1], light, 0.3, 1.0), (samples[1:], colour, 0.5, COLOUR_WEIGHT)):
        flat = basis.sum(1) / np.linalg.norm(basis.sum(1))  # the description of a plain picture
        found = planes @ basis.T
        found = (found - (found @ flat)[..., None] * flat).transpose(1, 2, 0).reshape(samples.shape[1], -1)
        parts.append(weight * found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), least))
    return np.concatenate(parts, axis=1).astype(np.float32)


def turned_descriptors(described: Floats) -> Floats:
    """Descriptors [q, SIZE] at every angle, as they are and mirrored: [q, 2 * TURNS, SIZE]."""
    return np.asarray(np.einsum("tij,qj->qti", _turns(), described), dtype=np.float32)


def placement(turn: int, disc: Floats) -> Floats:
    """The affine map [2, 3] from the searched picture to the training picture, both from -1 to 1, by turn and part."""
    mirrored, step = divmod(turn, TURNS)
    angle = 2 * np.pi * step / TURNS
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.array([[c, -s], [-s, -c]]) if mirrored else np.array([[c, s], [-s, c]])
    return np.column_stack([disc[2:, None] * matrix, disc[:2]]).astype(np.float32)


@lru_cache(maxsize=16)
def _samplers(shape: tuple[float, float]) -> tuple[Floats, Floats]:
    """Gaussian weights of columns and of rows at every sample of every part, each [GRID, n * rings * angles]."""
    theta = np.arange(ANGLES) * 2 * np.pi / ANGLES
    unit = np.stack([np.outer(RADII, np.cos(theta)).ravel(), np.outer(RADII, np.sin(theta)).ravel()])
    pixels = (np.arange(GRID) + 0.5) / GRID * 2 - 1
    weights = []
    for axis in (0, 1):
        centre, radius = discs(shape)[:, axis, None], discs(shape)[:, axis + 2, None]
        at, blur = (centre + radius * unit[axis]).ravel(), np.repeat(radius * BLUR, unit.shape[1])
        found = np.exp(-0.5 * ((pixels - at[:, None]) / blur[:, None]) ** 2)
        weights.append(np.ascontiguousarray((found / found.sum(1, keepdims=True)).T, dtype=np.float32))
    return weights[0], weights[1]


def _harmonics(most: int) -> NDArray[np.float64]:
    """Orthogonal rows 1, cos, sin, cos of twice the angle ..., [2 * most + 1, ANGLES]."""
    theta = np.arange(ANGLES) * 2 * np.pi / ANGLES
    waves = [wave(k * theta) * np.sqrt(2) for k in range(1, most + 1) for wave in (np.cos, np.sin)]
    return np.stack([np.ones(ANGLES), *waves])


@lru_cache(maxsize=1)
def _bases() -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """What lightness and colour are projected on, over rings and angles; a ring counts by its length."""
    weights = np.sqrt(RADII / RADII.sum() / ANGLES)
    pairs = np.kron(np.eye(len(RADII) // 2), np.ones(2)) * weights
    return np.kron(np.diag(weights), _harmonics(LIGHT)), np.kron(pairs, _harmonics(COLOUR))


@lru_cache(maxsize=1)
def _turns() -> NDArray[np.float64]:
    """The matrices that turn (and mirror) a descriptor, [2 * TURNS, SIZE, SIZE]."""

    def turn(most: int, angle: float, mirrored: bool) -> NDArray[np.float64]:
        phases = angle * np.arange(1, most + 1)
        matrix = block_diag(np.eye(1), *(np.array([[np.cos(p), np.sin(p)], [-np.sin(p), np.cos(p)]]) for p in phases))
        return np.asarray(matrix @ np.diag([1.0, *([1.0, -1.0] * most)]) if mirrored else matrix)

    found = []
    for mirrored in (False, True):
        for angle in 2 * np.pi * np.arange(TURNS) / TURNS:
            light = np.kron(np.eye(len(RADII)), turn(LIGHT, angle, mirrored))
            colour = np.kron(np.eye(len(RADII) // 2), turn(COLOUR, angle, mirrored))
            found.append(block_diag(light, np.kron(colour, np.eye(2))))
    return np.stack(found)
