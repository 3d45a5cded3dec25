"""What a dermoscope and a clinic add to a picture is left out, and does not move the measured tone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.images.tone.find_skin import TOO_LITTLE, UNEVEN, find_skin
from evalsuite.images.tone.measure_ita import NOT_SKIN_COLOUR, measure_ita
from gen.phantoms import CLASSES, draw

Pixels = NDArray[np.uint8]
Marks = Callable[[ImageDraw.ImageDraw, int], None]


def _drawn(image: Pixels, marks: Marks, colour: tuple[int, int, int], blur: float = 0.7) -> tuple[Pixels, NDArray]:
    """The picture with a colour laid over it where `marks` draws, and where that is."""
    size = image.shape[0]
    where = Image.new("L", (size, size))
    marks(ImageDraw.Draw(where), size)
    soft = np.asarray(where.filter(ImageFilter.GaussianBlur(blur)), dtype=float)[..., None] / 255
    mixed = image * (1 - soft) + np.array(colour) * soft
    return mixed.round().astype(np.uint8), np.asarray(where) > 0


def _vignette(pen: ImageDraw.ImageDraw, n: int) -> None:
    pen.rectangle((0, 0, n, n), fill=255)
    pen.ellipse((0.02 * n, 0.02 * n, 0.98 * n, 0.98 * n), fill=0)


def _hairs(pen: ImageDraw.ImageDraw, n: int) -> None:
    for i in range(9):
        pen.line((i * n / 8, 0, (8 - i) * n / 8 * 0.7, n), fill=255, width=max(1, n // 90))


def _ink(pen: ImageDraw.ImageDraw, n: int) -> None:
    pen.ellipse((0.08 * n, 0.1 * n, 0.93 * n, 0.9 * n), outline=255, width=max(2, n // 40))


def _sticker(pen: ImageDraw.ImageDraw, n: int) -> None:
    pen.ellipse((0.6 * n, -0.3 * n, 1.4 * n, 0.5 * n), fill=255)


def _gel(pen: ImageDraw.ImageDraw, n: int) -> None:
    for x, y in np.random.default_rng(0).uniform(0, n, (40, 2)):
        pen.ellipse((x, y, x + n / 25, y + n / 25), fill=255)


def _ruler(pen: ImageDraw.ImageDraw, n: int) -> None:
    for i in range(20):
        pen.line((i * n / 20, 0.86 * n, i * n / 20, (0.94 if i % 5 else 0.99) * n), fill=255, width=max(1, n // 100))


ADDED: dict[str, tuple[Marks, tuple[int, int, int], float]] = {
    "vignette": (_vignette, (8, 6, 6), 1.5),
    "hair": (_hairs, (35, 25, 22), 0.5),
    "ink": (_ink, (85, 60, 135), 0.7),
    "blue marker": (_sticker, (40, 110, 190), 0.7),
    "turquoise marker": (_sticker, (110, 190, 200), 0.7),
    "green marker": (_sticker, (30, 140, 70), 0.7),
    "gel": (_gel, (255, 255, 255), 0.4),
    "ruler": (_ruler, (25, 25, 25), 0.4),
}


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("what", ADDED)
def test_what_is_no_skin_is_left_out(what: str, size: int) -> None:
    """In every tone: of what was added at most a few pixels count as skin, and the angle moves by at most three."""
    marks, colour, blur = ADDED[what]
    for k, group in enumerate(TONE_GROUPS):
        phantom = draw(CLASSES[k], group, 7, size)
        image, added = _drawn(phantom.image, marks, colour, blur)
        assert (find_skin(image).bare & added).sum() <= 0.03 * added.sum()
        assert measure_ita(image).ita == pytest.approx(float(phantom.params["ita"]), abs=3)


def test_a_lesion_that_leaves_the_picture_is_not_taken_for_skin() -> None:
    """Half of the border is lesion: skin is the lighter half."""
    phantom = draw("plaque", "light", 5, 128)
    y, x = np.mgrid[:128, :128]
    lesion = (x > 64 + 6 * np.sin(y / 9))[..., None]
    image = np.where(lesion, np.random.default_rng(0).normal((95, 55, 40), 6, (128, 128, 3)), phantom.image)
    skin = find_skin(image.clip(0, 255).astype(np.uint8))
    assert (skin.bare & lesion[..., 0]).mean() < 0.005
    assert skin.bare.mean() > 0.2


def test_a_picture_full_of_lesion_is_refused() -> None:
    """Without any skin, or with corners of it."""
    rng = np.random.default_rng(1)
    blots = Image.fromarray(rng.integers(0, 255, (12, 12)).astype(np.uint8)).resize(
        (128, 128), Image.Resampling.BICUBIC
    )
    brown = np.array((35, 18, 16)) + np.asarray(blots)[..., None] / 255 * np.array((180, 130, 100))
    assert find_skin(brown.round().astype(np.uint8)).refused == UNEVEN
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    corners = (np.abs(x) + np.abs(y) > 1.75)[..., None]
    disc = np.where(corners, (225, 180, 155), rng.normal((80, 48, 40), 4, (128, 128, 3))).clip(0, 255).astype(np.uint8)
    assert find_skin(disc).refused == UNEVEN
    assert np.isnan(measure_ita(disc).ita)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((64, 64, 3), np.uint8), TOO_LITTLE),
        (np.full((64, 64, 3), 255, np.uint8), TOO_LITTLE),
        (np.full((64, 64, 3), (40, 110, 190), np.uint8), TOO_LITTLE),  # a glove
        (np.full((64, 64, 3), 128, np.uint8), NOT_SKIN_COLOUR),
    ],
)
def test_a_picture_without_skin_says_why_it_is_not_measured(image: Pixels, reason: str) -> None:
    measure = measure_ita(image)
    assert np.isnan(measure.ita)
    assert measure.not_measured == reason


@pytest.mark.parametrize("group", TONE_GROUPS)
def test_a_greyscale_photograph_has_no_tone(group: str) -> None:
    grey = np.asarray(Image.fromarray(draw("plaque", group, 2).image).convert("L").convert("RGB"))
    assert measure_ita(grey).not_measured == NOT_SKIN_COLOUR


def test_other_arrays_are_refused() -> None:
    with pytest.raises(UserError, match="uint8"):
        find_skin(np.zeros((8, 8), np.uint8))
