"""Sheets show what the tuned pipeline draws elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from gen.diffusion import noise
from gen.finetune import validation
from gen.finetune.base import load_base, read_base


def test_validation_draws_what_diffusers_draws(random_pipeline: Path) -> None:
    """A sheet shows what the tuned pipeline will draw elsewhere: from the same noise, pixel by pixel."""
    folder, spec = read_base(random_pipeline, None)
    prompts, seeds = ["An image of plaque, dark skin", "An image of ulcer, tan skin"], [3, 4]
    drawn = list(validation.draw(load_base(folder, spec), prompts, seeds, 6, 3.0))
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    shape = (spec.latent_channels, spec.latent_size, spec.latent_size)
    start = torch.from_numpy(np.stack([noise.normal(seed, "validation", noise.START, shape) for seed in seeds]))
    theirs = pipeline(prompts, num_inference_steps=6, guidance_scale=3.0, latents=start, output_type="np").images
    assert np.abs(np.stack(drawn).astype(float) - np.round(theirs * 255)).max() <= 2
