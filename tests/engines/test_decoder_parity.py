"""The tone and the PSNR of a small decoder are measured by group, and a shift of tone is found with its size."""

from __future__ import annotations

import numpy as np
import pytest

from dermforge.common.skin_tone import ita, srgb_to_lab
from engines.decoder_parity import compare_decoders, tone_of

GROUPS = ["light", "light", "dark", None]


def images(n: int = 4) -> np.ndarray:
    noise = np.random.default_rng(0).integers(-8, 9, (n, 16, 16, 3))
    tones = np.array([[224, 188, 160], [220, 180, 150], [90, 60, 45], [150, 110, 90]])
    return (tones[:n, None, None] + noise).clip(0, 255).astype(np.uint8)


def test_equal_images_pass() -> None:
    parity = compare_decoders(images(), images(), GROUPS)
    assert parity.failures() == []
    assert (parity.psnr_worst, parity.n) == (99.0, 4)
    assert {name: change.n for name, change in parity.tone.items()} == {"all": 4, "light": 2, "dark": 1}


def test_one_darker_group_fails_alone_and_by_its_size() -> None:
    full = images()
    small = full.copy()
    small[2] -= 3
    parity = compare_decoders(small, full, GROUPS)
    shift = float(tone_of(small)[2] - tone_of(full)[2])
    assert parity.tone["dark"].mean == pytest.approx(shift, abs=1e-3)
    assert shift < -1
    assert parity.tone["light"].mean == 0
    assert any("images of dark (1) are" in one and "darker" in one for one in parity.failures())
    assert not any("light" in one and "lighter" not in one for one in parity.failures())


def test_noise_without_a_shift_fails_by_psnr_alone() -> None:
    full = images()
    grain = np.random.default_rng(1).normal(0, 14, full.shape)
    small = (full + grain).round().clip(0, 255).astype(np.uint8)
    failures = compare_decoders(small, full, GROUPS).failures()
    assert failures
    assert any("PSNR" in one for one in failures)


def test_tone_is_that_of_the_mean_colour() -> None:
    grey = np.full((1, 4, 4, 3), (200, 160, 130), dtype=np.uint8)
    assert tone_of(grey)[0] == pytest.approx(float(ita(srgb_to_lab(np.array([200, 160, 130]) / 255))), abs=1e-3)


def test_nan_does_not_pass() -> None:
    parity = compare_decoders(images(), images(), GROUPS).model_copy(update={"psnr_mean": float("nan")})
    assert parity.failures()
