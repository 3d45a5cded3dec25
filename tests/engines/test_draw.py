"""The plain sampling loop: diffusers' images, each a function of its prompt and place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from engines import Bundle
from engines.backends.torch_eager import Reference
from engines.draw import denoise, draw


@pytest.fixture(scope="module")
def reference(model: Path, bundle: Bundle) -> Reference:
    return Reference(model, bundle, torch.device("cpu"))


def test_the_loop_is_that_of_diffusers(model: Path, reference: Reference) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(model)
    pipeline.set_progress_bar_config(disable=True)
    prompts, noise = ["An image of plaque, dark skin", "An image of annulus, light skin"], torch.randn(2, 4, 8, 8)
    theirs = pipeline(
        prompts, num_inference_steps=5, guidance_scale=3.0, latents=noise.clone(), output_type="latent"
    ).images
    scheduler = DDIMScheduler.from_config(reference.spec.scheduler)
    scheduler.set_timesteps(5)
    text = reference.encode_text([*prompts, "", ""])
    ours = denoise(reference.denoise, scheduler, noise, text, 3.0, None)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_drawing_is_a_function_of_its_prompt_and_place(reference: Reference) -> None:
    once, alone = draw(reference, ["a", "b"], steps=2), draw(reference, ["a"], steps=2)
    assert np.abs(once[0].astype(int) - alone[0].astype(int)).max() <= 1
    assert np.abs(once[0].astype(int) - once[1].astype(int)).max() > 1
