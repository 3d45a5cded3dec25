"""Requests are understood; drift, lost lesions and families are seen in the cells."""

from __future__ import annotations

import numpy as np
import pytest
from image_helpers import tone_measures, toned_phantoms
from PIL import Image

from evalsuite.images.image_data import ArrayImages
from evalsuite.images.tone.cut_points import CUTS
from evalsuite.images.tone.tone_table import cell_table, image_table, requested_steps


@pytest.mark.parametrize(
    ("word", "steps"),
    [
        ("very_light", (0, 0)),
        ("dark", (5, 5)),
        ("fst3", (2, 2)),
        ("FST IV", (3, 3)),
        ("6", (5, 5)),
        ("I-II", (0, 1)),
        ("fst56", (4, 5)),
        ("Fitzpatrick skin type 2", (1, 1)),
        ("unknown", None),
        ("", None),
        (None, None),
        ("7", None),
    ],
)
def test_requested_groups_are_understood(word: str | None, steps: tuple[int, int] | None) -> None:
    assert requested_steps(word) == steps


def test_drift_against_a_reference_is_measured_in_degrees() -> None:
    data = toned_phantoms(2)
    darker = ArrayImages(data.samples, [(a * 0.85).astype(np.uint8) for a in data.arrays])
    cells = cell_table(image_table(darker, CUTS["del-bino"]), image_table(data, CUTS["del-bino"]), resamples=100)
    assert cells.iloc[0]["drift"].high < -3


def test_a_lesion_that_went_with_the_tone_is_missed() -> None:
    """Tone-shifted images are compared with their parents: half of them are drawn without the lesion."""
    parents = toned_phantoms(2)
    shifted = []
    for i, (sample, image) in enumerate(zip(parents.samples, parents.arrays, strict=True)):
        tone = np.asarray(Image.fromarray(image).resize((2, 2)).resize((64, 64))) if i % 2 else image
        shifted.append((sample.model_copy(update={"id": f"s{i}", "parent": sample.id}), tone))
    made = ArrayImages(*map(list, zip(*shifted, strict=True)))
    reference = image_table(parents, CUTS["del-bino"])
    cells = cell_table(image_table(made, CUTS["del-bino"]), reference, resamples=20)
    kept = cells.iloc[0]["lesion_kept"]
    assert kept.low < 0.5 < kept.high
    assert cell_table(reference, reference, resamples=20).iloc[0]["lesion_kept"].n == 0  # real images have no parent


def test_a_real_set_too_small_to_know_its_tone_makes_no_shift_certain() -> None:
    """The interval of a drift holds the spread of both sides: five real images that scatter know no median."""
    made = tone_measures({"light": [47.0 + k % 3 for k in range(60)]})
    sure, unsure = (
        cell_table(made, tone_measures({"light": angles}), resamples=200).iloc[0]["drift"]
        for angles in ([40.0 + k % 3 for k in range(60)], [28.0, 30.0, 41.0, 52.0, 54.0])
    )
    assert (sure.value, unsure.value) == (7.0, 7.0)
    assert sure.low > 5
    assert unsure.low < 0
    one = cell_table(made, tone_measures({"light": [30.0]}), resamples=20).iloc[0]["drift"]
    assert np.isnan(one.value)  # one image has no spread to resample


def test_images_of_one_photograph_are_one_in_the_intervals_of_tone() -> None:
    """Ten renderings of each of eight photographs share its light: 80 images are 8 in truth."""
    angles = np.repeat([50.0, 44.0, 38.0, 60.0, 47.0, 30.0, 52.0, 42.0], 10)
    apart, one = (
        cell_table(tone_measures({"light": list(angles)}, **fields), resamples=200).iloc[0]
        for fields in ({}, {"parent": [f"p{k // 10}" for k in range(80)]})
    )
    for name in ("exact", "within_one", "degrees_off"):
        assert apart[name].value == one[name].value
        assert one[name].high - one[name].low > 1.8 * (apart[name].high - apart[name].low)
