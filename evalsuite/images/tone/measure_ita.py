"""Measured skin tone: find bare skin without a trained network, and measure its individual typology angle (ITA).

The angle describes a photograph, not a person, because one picture cannot separate light from tone. It serves to
compare requested with measured tone and real with synthetic images, never as a skin-type label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import ita, srgb_to_lab

METHOD = "border-plane-otsu"
LIGHTING_CAVEAT = (
    "ITA mixes tone with light and camera: "
    "read it as a drift check between requested and measured tone, not as a label."
)

_BORDER = 0.15  # share of each side where skin is expected
_WORK_PX = 160  # longer side at which an image is segmented
_MIN_BARE = 0.05  # an image with a smaller share of bare skin is not measured


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
    method: str = METHOD


def measure_ita(image: NDArray[np.uint8]) -> ToneMeasure:
    """Tone of the bare skin of an image, uint8 [h, w, 3].

    A plane fitted to the border of the image models skin of one tone under uneven light; pixels that depart from it by
    more than Otsu's threshold are lesion. Hair, highlights and black or white background are left out. The angle is
    that of the mean colour; it is undefined where that colour is not yellowish (b* of at most 0), unlike skin in white
    light. UserError for another kind of array.
    """
    lab = srgb_to_lab(_small(image).astype(np.float32) / 255).astype(np.float32)
    exposed = _exposed(_small(image))
    usable = exposed & ~_hair(lab[..., 0])
    frame = _frame(usable.shape) & usable
    if frame.mean() < 0.02:
        return _unmeasured(float(usable.mean()))
    plane = _fit_plane(lab, frame)
    departure = _departure(lab, plane)
    lesion = _lesion(departure, frame, exposed)
    bare = usable & ~ndimage.binary_dilation(lesion, iterations=max(1, min(lesion.shape) // 40))
    bare &= departure <= np.quantile(departure[bare], 0.95) if bare.any() else False
    if bare.mean() < _MIN_BARE:
        return _unmeasured(float(bare.mean()))
    skin = lab[bare].mean(0, dtype=np.float64)
    contrast = float(np.linalg.norm((lab - plane)[lesion].mean(0))) if lesion.any() else 0.0
    return ToneMeasure(
        ita=float(ita(skin)) if skin[2] > 0 else float("nan"),
        lightness=float(skin[0]),
        a=float(skin[1]),
        b=float(skin[2]),
        bare_share=float(bare.mean()),
        lesion_share=float(lesion.mean()),
        lesion_contrast=contrast,
        shading=float(np.ptp(plane[..., 0])),
    )


def tone_index(angle: float, cuts: tuple[float, ...]) -> int:
    """Which of the six groups an angle falls in: 0 the lightest, 5 the darkest; -1 for NaN."""
    return -1 if np.isnan(angle) else next((i for i, low in enumerate(cuts) if angle > low), len(cuts))


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with its longer side at most `_WORK_PX`, antialiased."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UserError(f"tone needs uint8 images [h, w, 3], got {image.dtype} {list(image.shape)}")
    factor = _WORK_PX / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def _exposed(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels that hold a colour: neither highlight and white background nor black background."""
    bright, dark = (image >= 250).sum(-1) >= 2, image.max(-1) <= 10
    return np.asarray(~ndimage.binary_dilation(bright | dark))


def _hair(lightness: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Thin dark or bright strands: where a closing or an opening wider than a hair changes more than skin texture."""
    width = _hair_width(lightness.shape)
    dark = ndimage.grey_closing(lightness, size=(width, width)) - lightness
    bright = lightness - ndimage.grey_opening(lightness, size=(width, width))
    strand = (dark > max(10.0, 3 * np.median(dark))) | (bright > max(10.0, 3 * np.median(bright)))
    return np.asarray(ndimage.binary_dilation(strand))


def _hair_width(shape: tuple[int, ...]) -> int:
    """An odd window in pixels, wider than two hairs."""
    return max(3, round(0.05 * max(shape[:2])) | 1)


def _frame(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    frame = np.ones(shape, dtype=bool)
    h, w = max(1, round(shape[0] * _BORDER)), max(1, round(shape[1] * _BORDER))
    frame[h:-h, w:-w] = False
    return frame


def _fit_plane(lab: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A plane fitted to the colours of some pixels, over the whole image; the worst fifth is left out."""
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


def _departure(lab: NDArray[np.float32], plane: NDArray[np.float32]) -> NDArray[np.floating]:
    """CIELAB distance of each pixel's neighbourhood from the plane; the median drops hair and grain."""
    width = _hair_width(lab.shape)
    smooth = np.stack([ndimage.median_filter(lab[..., c], size=width) for c in range(3)], -1)
    return np.asarray(np.linalg.norm(smooth - plane, axis=-1))


def _lesion(departure: NDArray[np.floating], frame: NDArray[np.bool_], exposed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Regions that depart from skin by more than Otsu's threshold and more than skin's own mottling."""
    mottling = 3.0 * float(np.median(departure[frame]))
    mask = (departure > max(_otsu(departure[exposed]), mottling, 3.0)) & exposed
    mask = ndimage.binary_opening(mask) if min(mask.shape) >= 64 else mask
    labels, n = ndimage.label(mask)
    if n == 0:
        return mask
    sizes = ndimage.sum_labels(mask, labels, np.arange(1, n + 1))
    return np.isin(labels, 1 + np.flatnonzero(sizes >= 0.002 * mask.size))


def _otsu(values: NDArray[np.floating], bins: int = 128) -> float:
    """Threshold of largest between-class variance (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / np.maximum(below, 1)
    mean_above = (np.cumsum((counts * centres)[::-1]) / np.maximum(above[::-1], 1))[::-1]
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centres[np.argmax(between)])


def _unmeasured(bare_share: float) -> ToneMeasure:
    nan = float("nan")
    return ToneMeasure(nan, nan, nan, nan, bare_share, nan, nan, nan)
