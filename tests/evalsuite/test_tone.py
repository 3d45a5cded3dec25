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

from evalsuite.quality.features import ArrayImages
from evalsuite.tone import CUTS, LIGHTING_CAVEAT, cut_points, measure_ita, tone_index
from evalsuite.tone_cells import cell_table, measure_table, requested_steps, tone_section, verdict
from gen.phantoms import CLASSES, draw
from shards.errors import UserError
from shards.schema import Sample
from shards.tone import TONE_GROUPS

SSYNTH = Path(__file__).parents[3] / "shared" / "data" / "ssynth"


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


@pytest.mark.parametrize(("word", "steps"), [
    ("very_light", (0, 0)), ("dark", (5, 5)), ("fst3", (2, 2)), ("FST IV", (3, 3)), ("6", (5, 5)), ("I-II", (0, 1)),
    ("fst56", (4, 5)), ("Fitzpatrick skin type 2", (1, 1)), ("unknown", None), ("", None), (None, None), ("7", None),
])
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
    assert tone_section(measured, bad)["figures"][0]["svg"].startswith("<svg")


def test_drift_against_a_reference_is_measured_in_degrees() -> None:
    data = phantoms(2)
    darker = ArrayImages(data.samples, [(a * 0.85).astype(np.uint8) for a in data.arrays])
    cells = cell_table(
        measure_table(darker, CUTS["del-bino"]), measure_table(data, CUTS["del-bino"]), resamples=100
    )
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
        "No image shows enough bare skin to measure its tone.", "unknown",
    )
