"""The certificate measures what it says, and notices an engine that is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines import Bundle, ValidationPrompt, load
from engines.backends.torch_eager import Reference
from engines.certificate import certify, is_constant, read_certificate
from engines.errors import EngineError
from engines.psnr import psnr

PROMPTS = [
    ValidationPrompt(prompt="a", label="x", group="dark"),
    ValidationPrompt(prompt="b", label="y", group="light"),
]


@pytest.fixture(scope="module")
def reference(model: Path, bundle: Bundle) -> Reference:
    return Reference(model, bundle, torch.device("cpu"))


def test_psnr_is_ten_log_of_the_squared_error() -> None:
    grey = np.full((4, 4, 3), 100, dtype=np.uint8)
    assert psnr(grey, grey + 5) == pytest.approx(10 * np.log10(255**2 / 25))
    assert psnr(grey, grey) == 99.0


def test_one_colour_is_constant_and_one_pixel_off_is_not() -> None:
    images = np.full((2, 4, 4, 3), 7, dtype=np.uint8)
    images[1, 0, 0, 0] = 8
    assert is_constant(images).tolist() == [True, False]


def test_a_wrong_engine_fails_by_component_class_and_group(bundle: Bundle, reference: Reference) -> None:
    engine = load(bundle.folder)
    unet = engine.calls.denoise
    engine.calls = replace(engine.calls, denoise=lambda *args: unet(*args) * 1.5)
    certificate = certify(engine, reference, PROMPTS, classify=lambda images: images[:, 0, 0, 0] > 127)
    assert not certificate.passed
    assert certificate.components["unet"]["real"] == pytest.approx(0.5, rel=1e-3)
    assert certificate.components["vae_decoder"]["real"] < 1e-4
    assert set(certificate.by_group) == {"dark", "light"}
    assert certificate.images.label_flips is not None


def test_changed_labels_are_counted_per_group(bundle: Bundle, reference: Reference) -> None:
    """An engine that inverts its images flips labels of brightness, and a right one flips none."""
    engine = load(bundle.folder)
    bright = certify(engine, reference, PROMPTS, classify=lambda images: images.mean((1, 2, 3)) > 127.5)
    assert bright.images.label_flips == 0
    decode = engine.calls.decode
    engine.calls = replace(engine.calls, decode=lambda latents: 255 - decode(latents))
    wrong = certify(engine, reference, PROMPTS, classify=lambda images: images.mean((1, 2, 3)) > 127.5)
    assert (wrong.by_group["dark"].label_flips, wrong.by_group["light"].label_flips) == (1, 1)


def test_an_engine_that_draws_one_colour_is_named(bundle: Bundle, reference: Reference) -> None:
    engine = load(bundle.folder)
    decode = engine.calls.decode
    engine.calls = replace(engine.calls, decode=lambda latents: torch.zeros_like(decode(latents)))
    with pytest.raises(EngineError, match="draws one flat colour for 'a'"):
        certify(engine, reference, PROMPTS)


def test_a_bundle_without_its_certificate_is_refused(copied: Bundle) -> None:
    (copied.folder / "parity.json").unlink()
    with pytest.raises(EngineError, match=r"parity\.json is missing: build the bundle again"):
        read_certificate(copied)
