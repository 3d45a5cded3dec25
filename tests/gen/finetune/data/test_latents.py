"""Cached latents are those that diffusers' pipelines prepare."""

from __future__ import annotations

from pathlib import Path

import torch

from gen.finetune.base import load_base, read_base
from gen.finetune.data.latents import encode_batch


def test_the_masked_image_hides_what_is_to_be_filled_in(random_pipeline: Path) -> None:
    """As diffusers' inpainting shows it: grey under the mask, and the image itself outside of it."""
    folder, spec = read_base(random_pipeline, None)
    base = load_base(folder, spec)
    vae = base.vae
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    mask[..., 16:48, 16:48] = True
    shown = pixels * (mask.float() < 0.5)  # StableDiffusionInpaintPipeline.__call__
    with torch.no_grad():
        expected = (vae.encode(shown).latent_dist.mean - spec.shift_factor) * spec.scaling_factor
    cached = encode_batch(base, pixels, mask)
    torch.testing.assert_close(cached["masked"], expected)
    assert cached["mask"].shape == (1, 1, spec.latent_size, spec.latent_size)
    assert cached["mask"].mean() == 0.25
