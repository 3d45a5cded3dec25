"""Bare skin in a picture, found without a trained network.

Left out are what a dermoscope and a clinic add (a vignette, ink, stickers, rulers, gel's highlights, hair) and the
lesion. Where no even skin is left the picture is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import srgb_to_lab

Mask = NDArray[np.bool_]
Lab = NDArray[np.float32]

TOO_LITTLE = "too little bare skin"
UNEVEN = "no even skin at the border"

_BORDER = 0.15  # share of the shorter side where skin is expected
_WORK_PX = 160  # longer side at which a picture is segmented
_MIN_BARE = 0.05  # a picture with a smaller share of bare skin is not measured
_MIN_FRAME = 0.02  # the same for bare skin in the border
_VIGNETTE = 0.5  # of the lightness of the picture's bright part
_PAINT_CHROMA = 20.0  # CIELAB; from it on a hue that skin never has is ink or a sticker
_TWO = 0.8  # Otsu's separability from which the border has two colours; an even slope of light has 0.75
_APART = 10.0  # L* between the two
_MOTTLED = 8.0  # median CIELAB distance from even skin from which the border is none; photographs reach 3, half of them


@dataclass(frozen=True)
class Skin:
    """A picture at working size: its colours, where its bare skin and its lesion are, and the light on even skin."""

    lab: Lab  # [h, w, 3]
    bare: Mask  # [h, w]
    lesion: Mask
    light: Lab  # a plane: the colour that even skin would have
    refused: str = ""  # why the bare skin is not to be measured


def find_skin(image: NDArray[np.uint8]) -> Skin:
    """Find the bare skin of a picture, uint8 [h, w, 3].

    A plane fitted to the border of the field of view models skin of one tone under uneven light; pixels that depart
    from it by more than Otsu's threshold are lesion. Where the border shows two colours, skin is the lighter one: the
    other is a lesion that leaves the picture, a shadow or a dark edge. A border that is mostly the darker one, or
    that no plane fits, is refused. UserError for another kind of array.
    """
    small = _small(image)
    lab = srgb_to_lab(small.astype(np.float32) / 255).astype(np.float32)
    coloured = _exposed(small) & ~_paint(lab)
    field = ~_vignette(lab[..., 0], coloured)
    shown = field & coloured
    usable = shown & ~_hair(lab[..., 0])
    smooth = _smooth(lab)
    frame, refused = _lighter(smooth[..., 0], _frame(field) & usable)
    if frame.mean() < _MIN_FRAME:
        nothing = np.zeros(frame.shape, dtype=bool)
        return Skin(lab, nothing, nothing, lab, refused or TOO_LITTLE)
    light = _fit_plane(lab, frame)
    departure = np.asarray(np.linalg.norm(smooth - light, axis=-1))
    refused = refused or (UNEVEN if np.median(departure[frame]) > _MOTTLED else "")
    lesion = _lesion(departure, frame, shown)
    bare = usable & ~ndimage.binary_dilation(lesion, iterations=max(1, min(lesion.shape) // 40))
    bare &= departure <= np.quantile(departure[bare], 0.95) if bare.any() else False
    return Skin(lab, bare, lesion, light, refused or (TOO_LITTLE if bare.mean() < _MIN_BARE else ""))


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its longer side at most `_WORK_PX`, antialiased."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UserError(f"tone needs uint8 images [h, w, 3], got {image.dtype} {list(image.shape)}")
    factor = _WORK_PX / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def _vignette(lightness: Lab, coloured: Mask) -> Mask:
    """Dark regions that hold a corner: outside the round field of a dermoscope, or cut off by a light's cone."""
    if not coloured.any():
        return ~coloured
    dark = lightness < _VIGNETTE * np.quantile(lightness[coloured], 0.9)
    labels, _ = ndimage.label(dark)
    corners = {int(labels[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    edge = max(1, round(0.03 * min(dark.shape)))
    return np.asarray(ndimage.binary_dilation(np.isin(labels, list(corners)), iterations=edge))


def _exposed(image: NDArray[np.uint8]) -> Mask:
    """Pixels that hold a colour: neither highlight and white background nor black background."""
    bright, dark = (image >= 250).sum(-1) >= 2, image.max(-1) <= 10
    return np.asarray(~ndimage.binary_dilation(bright | dark))


def _paint(lab: Lab) -> Mask:
    """Green, blue and violet: ink, stickers, gloves and cloth."""
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1]))
    far = (hue > 120) | (hue < -45)
    return np.asarray(ndimage.binary_dilation(far & (np.hypot(lab[..., 1], lab[..., 2]) >= _PAINT_CHROMA)))


def _hair(lightness: Lab) -> Mask:
    """Thin dark or bright strands and a ruler's marks: where closing or opening changes more than skin's texture."""
    width = _hair_width(lightness.shape)
    dark = ndimage.grey_closing(lightness, size=(width, width)) - lightness
    bright = lightness - ndimage.grey_opening(lightness, size=(width, width))
    strand = (dark > max(10.0, 3 * np.median(dark))) | (bright > max(10.0, 3 * np.median(bright)))
    return np.asarray(ndimage.binary_dilation(strand))


def _hair_width(shape: tuple[int, ...]) -> int:
    """An odd window in pixels, wider than two hairs."""
    return max(3, round(0.05 * max(shape[:2])) | 1)


def _smooth(lab: Lab) -> Lab:
    """Each pixel's neighbourhood; the median drops hair and grain."""
    width = _hair_width(lab.shape)
    return np.stack([ndimage.median_filter(lab[..., c], size=width) for c in range(3)], -1)


def _frame(field: Mask) -> Mask:
    """The border of the field of view."""
    depth = ndimage.distance_transform_edt(np.pad(field, 1))[1:-1, 1:-1]
    return np.asarray(field & (depth <= max(1, round(_BORDER * min(field.shape)))))


def _lighter(lightness: Lab, frame: Mask) -> tuple[Mask, str]:
    """The part of the border that is skin, and why there is none."""
    values = lightness[frame]
    if len(values) < 2 or np.ptp(values) < _APART:
        return frame, ""
    cut, separable = _otsu(values)
    light = values > cut
    if separable < _TWO or values[light].mean() - values[~light].mean() < _APART:
        return frame, ""
    return frame & (lightness > cut), UNEVEN if light.mean() < 0.25 else ""


def _fit_plane(lab: Lab, where: Mask) -> Lab:
    """A plane fitted to the colours of some pixels, over the whole picture; the worst fifth is left out."""
    h, w = where.shape
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
    design = np.stack([np.ones_like(x), x, y], -1)
    rows, colours = design[where], lab[where]
    kept = np.ones(len(rows), dtype=bool)
    for _ in range(4):
        coefficients = np.linalg.lstsq(rows[kept], colours[kept], rcond=None)[0]
        error = np.linalg.norm(rows @ coefficients - colours, axis=-1)
        kept = error <= np.quantile(error, 0.8)
    return np.asarray((design @ coefficients).astype(np.float32))


def _lesion(departure: NDArray[np.floating], frame: Mask, shown: Mask) -> Mask:
    """Regions that depart from skin by more than Otsu's threshold and more than skin's own mottling."""
    mottling = 3.0 * float(np.median(departure[frame]))
    mask = (departure > max(_otsu(departure[shown])[0], mottling, 3.0)) & shown
    mask = ndimage.binary_opening(mask) if min(mask.shape) >= 64 else mask
    labels, n = ndimage.label(mask)
    if n == 0:
        return mask
    sizes = ndimage.sum_labels(mask, labels, np.arange(1, n + 1))
    return np.isin(labels, 1 + np.flatnonzero(sizes >= 0.002 * mask.size))


def _otsu(values: NDArray[np.floating], bins: int = 128) -> tuple[float, float]:
    """Threshold of largest between-class variance, and that variance's share of the whole (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / np.maximum(below, 1)
    mean_above = (np.cumsum((counts * centres)[::-1]) / np.maximum(above[::-1], 1))[::-1]
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    best = int(np.argmax(between))
    whole = float(values.var()) * len(values) ** 2
    return float(centres[best]), float(between[best]) / whole if whole > 0 else 0.0
