"""A ready-made LCM-LoRA, as published ones are saved: fused, and drawn by the solver lcm as diffusers draws it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapters_helpers import lcm_lora, psnr
from diffusers import LCMScheduler, StableDiffusionPipeline
from diffusers.schedulers import scheduling_lcm

import engines
from engines.adapters import parse_lora, with_adapters
from gen.diffusion import noise
from gen.plan.plan import PlanRow
from gen.sampling.in_memory import sample_images

PROMPT = "An image of plaque, dark skin"


def test_an_lcm_lora_is_drawn_as_diffusers_draws_it(
    random_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four steps from the same noise; the fresh noise of each step is handed to diffusers."""
    file = lcm_lora(random_pipeline, tmp_path / "pytorch_lora_weights.safetensors")
    with with_adapters(random_pipeline, [parse_lora(str(file))], []) as folder:
        engines.build(folder, tmp_path / "bundle", backend="torch", rows=4)
    engine = engines.load(tmp_path / "bundle", device="cpu")
    given = {"id": "a", "class": "plaque", "prompt": PROMPT, "solver": "lcm", "steps": 4, "guidance": 1.0, "size": 64}
    row = PlanRow.model_validate(given)
    ours = sample_images(engine, [row])[0] / 255

    pipeline = StableDiffusionPipeline.from_pretrained(random_pipeline)
    pipeline.load_lora_weights(file.parent, weight_name=file.name)
    pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)

    def ours_at(step: int) -> torch.Tensor:
        return torch.from_numpy(noise.normal(row.seed, row.id, step, (4, 16, 16)))[None]

    start, steps = ours_at(noise.START), iter([0, 1, 2] * 2)
    monkeypatch.setattr(scheduling_lcm, "randn_tensor", lambda *_, **__: ours_at(next(steps)))
    drawn = pipeline(PROMPT, latents=start, num_inference_steps=4, guidance_scale=1.0, output_type="np").images[0]
    without = StableDiffusionPipeline.from_pretrained(random_pipeline)
    without.scheduler = pipeline.scheduler
    plain = without(PROMPT, latents=start, num_inference_steps=4, guidance_scale=1.0, output_type="np").images[0]
    assert psnr(ours, drawn) > 50
    assert psnr(ours, plain) < 40
