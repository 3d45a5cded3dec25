"""Sheets show what the tuned pipeline draws elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from gen.diffusion import noise
from gen.finetune import methods, validation
from gen.finetune.base import load_base, read_base
from gen.finetune.data.examples import make_examples
from gen.sampling.in_memory import sample_images
from shards.format.images import decode_image, encode_image
from shards.ingest.folder import open_data


def test_validation_draws_what_diffusers_draws(random_pipeline: Path) -> None:
    """A sheet shows what the tuned pipeline will draw elsewhere: from the same noise, pixel by pixel."""
    folder, spec = read_base(random_pipeline, None)
    prompts, seeds = ["An image of plaque, dark skin", "An image of ulcer, tan skin"], [3, 4]
    base = load_base(folder, spec)
    rows = [validation.row(base, prompt, seed, steps=6) for prompt, seed in zip(prompts, seeds, strict=True)]
    drawn = sample_images(validation.networks(base, methods.full(base, [*prompts, ""])), rows)
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    shape = (spec.latent_channels, spec.latent_size, spec.latent_size)
    start = torch.from_numpy(np.stack([noise.normal(seed, "validation", noise.START, shape) for seed in seeds]))
    theirs = pipeline(prompts, num_inference_steps=6, guidance_scale=3.0, latents=start, output_type="np").images
    assert np.abs(drawn.astype(float) - np.round(theirs * 255)).max() <= 2


def test_a_sheet_needs_no_skin_types(random_pipeline: Path, tmp_path: Path) -> None:
    """One image for each class, below one another; the same again from the same seed."""
    for name in ("plaque", "ulcer"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        (tmp_path / "photos" / name / f"{name}.png").write_bytes(encode_image(picture))
    examples = make_examples(open_data(tmp_path / "photos"), "An image of {class}")
    base = load_base(*read_base(random_pipeline, None))
    network, drawn = methods.full(base, [*examples.prompts, ""]), {"steps": 2, "guidance": 3.0}
    page = validation.sheet(base, network, examples, tmp_path / "sheet.png", 0, drawn)
    assert page.shape == (2 * (64 + 12), 64, 3)
    np.testing.assert_array_equal(page, decode_image((tmp_path / "sheet.png").read_bytes()))
    np.testing.assert_array_equal(page, validation.sheet(base, network, examples, tmp_path / "again.png", 0, drawn))
