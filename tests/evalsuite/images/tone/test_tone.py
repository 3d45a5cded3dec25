"""The measured tone is the phantom's true one, falls with melanin in renderings, and errors are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import spearmanr

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.images.features.features import ArrayImages
from evalsuite.images.tone.measure_ita import CUTS, LIGHTING_CAVEAT, cut_points, measure_ita, tone_index
from evalsuite.images.tone.tone_report import (
    cell_table,
    measure_table,
    off_tone,
    requested_steps,
    tone_section,
    verdict,
)
from gen.phantoms import CLASSES, draw
from shards.format.schema import Sample

SSYNTH = Path(__file__).parents[5] / "shared" / "data" / "ssynth"


def phantoms(per_cell: int, *, wrong: float = 0.0) -> ArrayImages:
    """Phantoms of every cell; a share of them drawn in the darkest tone whatever was requested."""
    rng, samples, arrays = np.random.default_rng(0), [], []
    for cls in CLASSES:
        for group in TONE_GROUPS:
            for i in range(per_cell):
                samples.append(Sample(id=f"{cls}-{group}-{i}", origin="phantom", label=cls, group=group))
                arrays.append(draw(cls, "dark" if rng.random() < wrong else group, i).image)
    return ArrayImages(samples, arrays)


@pytest.mark.parametrize("size", [64, 128])
def test_measured_angle_is_the_phantoms_own(size: int) -> None:
    """Lesions, hair and uneven light are in the picture; the error stays below one and a half degrees."""
    for cls in CLASSES:
        for group in TONE_GROUPS:
            phantom = draw(cls, group, 7, size)
            assert measure_ita(phantom.image).ita == pytest.approx(float(phantom.params["ita"]), abs=1.5)


def test_lesions_are_masked_out_and_seen() -> None:
    found = [measure_ita(draw(cls, group, 3).image) for cls in CLASSES for group in TONE_GROUPS]
    assert np.mean([m.lesion_contrast > 3 for m in found]) > 0.9
    assert all(m.bare_share > 0.5 for m in found)


@pytest.mark.skipif(not SSYNTH.is_dir(), reason="the S-SYNTH renderings are not here")
def test_angle_falls_with_melanin_in_renderings_under_all_lights() -> None:
    table = pd.read_csv(SSYNTH / "metadata.csv")
    angles = [measure_ita(np.asarray(Image.open(SSYNTH / f).convert("RGB"))).ita for f in table["file"]]
    assert not np.isnan(angles).any()
    assert spearmanr(table["melanin_fraction"], angles)[0] <= -0.6


@pytest.mark.parametrize("value", [0, 255])
def test_an_image_without_skin_is_not_measured(value: int) -> None:
    measure = measure_ita(np.full((64, 64, 3), value, np.uint8))
    assert np.isnan(measure.ita)


@given(st.integers(8, 300), st.integers(8, 300), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_any_picture_gives_a_number_or_nan(height: int, width: int, seed: int) -> None:
    measure = measure_ita(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))
    assert np.isnan(measure.ita) or -90 <= measure.ita <= 180


def test_other_arrays_are_refused() -> None:
    with pytest.raises(UserError, match="uint8"):
        measure_ita(np.zeros((8, 8), np.uint8))


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


def test_cut_points_descend_and_give_six_steps() -> None:
    for cuts in CUTS.values():
        assert list(cuts) == sorted(cuts, reverse=True)
        assert [tone_index(a, cuts) for a in (89, -89)] == [0, 5]
    assert tone_index(float("nan"), CUTS["del-bino"]) == -1


def test_right_tones_pass_and_planted_wrong_ones_are_found() -> None:
    """A third of the images drawn dark whatever was asked: the share within one group falls by as much."""
    good = cell_table(measure_table(phantoms(4), CUTS["del-bino"]), resamples=100)
    text, status = verdict(good)
    assert status == "good", text
    overall = good.iloc[0]
    assert overall["within_one"].value == 1.0
    assert overall["spearman"].value > 0.95
    measured = measure_table(phantoms(4, wrong=1 / 3), CUTS["del-bino"])
    bad = cell_table(measured, reference=measure_table(phantoms(4), CUTS["del-bino"]), resamples=100)
    assert bad.iloc[0]["within_one"].value == pytest.approx(1 - 1 / 3 * 4 / 6, abs=0.08)
    assert verdict(bad)[1] != "good"
    lightest = bad[bad["cell"] == "very_light"].iloc[0]
    assert lightest["degrees_off"].value < -20
    assert np.isnan(lightest["spearman"].value)  # one requested tone has no order
    assert tone_section(measured, bad).shown["fairness"][-1].svg.startswith("<svg")  # type: ignore[union-attr]


def test_drift_against_a_reference_is_measured_in_degrees() -> None:
    data = phantoms(2)
    darker = ArrayImages(data.samples, [(a * 0.85).astype(np.uint8) for a in data.arrays])
    cells = cell_table(measure_table(darker, CUTS["del-bino"]), measure_table(data, CUTS["del-bino"]), resamples=100)
    assert cells.iloc[0]["drift"].high < -3


def test_cut_points_are_a_parameter() -> None:
    assert cut_points("del-bino") == CUTS["del-bino"]
    assert cut_points("50,40,30,20,-10") == (50, 40, 30, 20, -10)
    for wrong in ("50,40,30,20", "50,40,40,20,-10", "a,b,c,d,e", "500,40,30,20,10"):
        with pytest.raises(UserError, match="five falling angles"):
            cut_points(wrong)


def test_a_lesion_that_went_with_the_tone_is_missed() -> None:
    """Tone-shifted images are compared with their parents: half of them are drawn without the lesion."""
    parents = phantoms(2)
    shifted = []
    for i, (sample, image) in enumerate(zip(parents.samples, parents.arrays, strict=True)):
        tone = np.asarray(Image.fromarray(image).resize((2, 2)).resize((64, 64))) if i % 2 else image
        shifted.append((sample.model_copy(update={"id": f"s{i}", "parent": sample.id}), tone))
    made = ArrayImages(*map(list, zip(*shifted, strict=True)))
    reference = measure_table(parents, CUTS["del-bino"])
    cells = cell_table(measure_table(made, CUTS["del-bino"]), reference, resamples=20)
    kept = cells.iloc[0]["lesion_kept"]
    assert kept.low < 0.5 < kept.high
    assert cell_table(reference, reference, resamples=20).iloc[0]["lesion_kept"].n == 0  # real images have no parent


def test_raw_angles_come_first_and_the_caveat_is_always_there() -> None:
    cells = cell_table(measure_table(phantoms(1), CUTS["del-bino"]), resamples=20)
    text, _ = verdict(cells)
    assert text.startswith("The typology angle has a median of")
    assert LIGHTING_CAVEAT in text
    blank = ArrayImages(phantoms(1).samples[:3], [np.zeros((64, 64, 3), np.uint8)] * 3)
    assert verdict(cell_table(measure_table(blank, CUTS["del-bino"]), resamples=20)) == (
        "No image shows enough bare skin to measure its tone.",
        "unknown",
    )


def of_groups(angles: dict[str, list[float]], **fields: list[str]) -> pd.DataFrame:
    """A table of measures with these angles and, beyond them, nothing out of the ordinary."""
    group = [g for g, values in angles.items() for _ in values]
    found = np.array([a for values in angles.values() for a in values], dtype=float)
    cuts = CUTS["del-bino"]
    steps = [requested_steps(g) or (0, 0) for g in group]
    frame = pd.DataFrame(
        {
            "id": [f"i{k}" for k in range(len(group))],
            "class": "plaque",
            "group": group,
            "strategy": None,
            "parent": None,
            "cluster": None,
            "ita": found,
            "lesion_contrast": 9.0,
            "shading": 1.0,
            "requested": [float(s[0]) for s in steps],
        }
    )
    edges = [np.inf, *cuts, -np.inf]
    frame["steps_off"] = [tone_index(a, cuts) - s[0] for a, s in zip(found, steps, strict=True)]
    frame["degrees_off"] = [
        max(a - edges[s[0]], 0) + min(a - edges[s[0] + 1], 0) for a, s in zip(found, steps, strict=True)
    ]
    return frame.assign(**fields)


def test_a_skin_type_shifted_from_real_images_is_named_with_its_direction() -> None:
    """By more than chance and by more than five degrees; a shift that may be chance, or is small, is none."""
    rng = np.random.default_rng(0)

    def around(middle: float, n: int = 60) -> list[float]:
        return list(rng.normal(middle, 3, n))

    real = of_groups({"light": around(46), "tan": around(20), "dark": around(-45)})
    made = of_groups({"light": around(37), "tan": around(17), "dark": around(-33)})  # by 9, 3 and 12 degrees
    named = off_tone(cell_table(made, real, resamples=200))
    assert [n.split(" degrees")[0].split("(")[0].strip() for n in named] == ["dark", "light"]
    assert "lighter than real images of it" in named[0]
    assert "darker than real images of it" in named[1]
    few = of_groups({"light": around(46), "dark": [-45, -20, -60, -38, -30]})
    assert off_tone(cell_table(few, real, resamples=200)) == []  # five images that scatter prove no shift


def test_without_real_images_a_skin_type_is_named_where_most_miss_its_range() -> None:
    made = of_groups({"light": [47.0] * 40, "tan": [31.0] * 30 + [20.0] * 10, "dark": [-40.0] * 40})
    assert off_tone(cell_table(made, resamples=50)) == ["tan (75% miss its range, on average 2 degrees lighter)"]
    few = of_groups({"light": [47.0] * 40, "tan": [31.0] * 3 + [20.0]})
    assert off_tone(cell_table(few, resamples=50)) == []
    text, status = verdict(cell_table(made, resamples=50))
    assert "Off tone: tan" in text
    assert status == "warn"  # although every image is within one group of the request


def test_a_real_set_too_small_to_know_its_tone_makes_no_shift_certain() -> None:
    """The interval of a drift holds the spread of both sides: three real images that scatter know no median."""
    made = of_groups({"light": [47.0 + k % 3 for k in range(60)]})
    sure, unsure = (
        cell_table(made, of_groups({"light": angles}), resamples=200).iloc[0]["drift"]
        for angles in ([40.0 + k % 3 for k in range(60)], [30.0, 41.0, 52.0])
    )
    assert (sure.value, unsure.value) == (7.0, 7.0)
    assert sure.low > 5
    assert unsure.low < 0


def test_images_of_one_photograph_are_one_in_the_intervals_of_tone() -> None:
    """Ten renderings of each of eight photographs share its light: 80 images are 8 in truth."""
    angles = np.repeat([50.0, 44.0, 38.0, 60.0, 47.0, 30.0, 52.0, 42.0], 10)
    apart, one = (
        cell_table(of_groups({"light": list(angles)}, **fields), resamples=200).iloc[0]
        for fields in ({}, {"parent": [f"p{k // 10}" for k in range(80)]})
    )
    for name in ("exact", "within_one", "degrees_off"):
        assert apart[name].value == one[name].value
        assert one[name].high - one[name].low > 1.8 * (apart[name].high - apart[name].low)
