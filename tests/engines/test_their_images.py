"""The images that an engine is compared with are those of a plain script of diffusers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from engines.draw import Start, Tick, hole, start_of
from engines.errors import EngineError
from engines.pipeline_spec import PipelineSpec, read_spec
from engines.their_images import their_images

PROMPTS = ["An image of plaque, dark skin", "a", ""]
CPU = torch.device("cpu")


def images_of(folder: Path, spec: PipelineSpec, start: Start, tick: Tick = lambda *_: None) -> np.ndarray:
    return their_images(folder, spec, PROMPTS, start, CPU, tick).images


@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "EulerAncestralDiscreteScheduler"])
def test_they_are_those_of_a_plain_script(scheduler: str, make_model: Callable[..., Path]) -> None:
    folder = make_model(seed=5)
    index = json.loads((folder / "model_index.json").read_text()) | {"scheduler": ["diffusers", scheduler]}
    (folder / "model_index.json").write_text(json.dumps(index))
    start = start_of(read_spec(folder), len(PROMPTS))
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    plain = pipeline(
        PROMPTS,
        num_inference_steps=start.steps,
        guidance_scale=start.guidance,
        latents=start.noise,
        generator=start.generators(),
        output_type="np",
    ).images
    assert plain.std() > 0.01
    difference = images_of(folder, read_spec(folder), start).astype(int) - (plain * 255).round().astype(int)
    assert np.abs(difference).max() <= 1


def test_nothing_is_used_but_the_files_that_are_known(make_model: Callable[..., Path]) -> None:
    """Neither code, which diffusers would run, nor an adapter, put there after the folder was checked."""
    folder = make_model(seed=7)
    spec = read_spec(folder)
    start = start_of(spec, len(PROMPTS))
    before, marker = images_of(folder, spec, start), folder / "ran"
    for name in ("None.py", "scheduler/diffusers.py", "tokenizer/transformers.py", "vae/diffusers.py", "pipeline.py"):
        (folder / name).write_text(f"open({str(marker)!r}, 'w').close()\n")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"not read")
    assert np.array_equal(images_of(folder, spec, start), before)
    assert not marker.exists()


@pytest.mark.parametrize("prefix", ["text_model.", ""])
def test_a_text_encoder_of_another_transformers_draws_the_same(prefix: str, make_model: Callable[..., Path]) -> None:
    """Transformers 5 saves no `text_model.` in names; transformers 4 alone would draw random weights for them."""
    folder = make_model(seed=6)
    spec = read_spec(folder)
    start = start_of(spec, len(PROMPTS))
    before, file = images_of(folder, spec, start), folder / "text_encoder" / "model.safetensors"
    weights = {prefix + name.removeprefix("text_model."): value for name, value in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    difference = images_of(folder, read_spec(folder), start).astype(int) - before.astype(int)
    assert np.abs(difference).max() <= 1


def test_an_inpainting_model_redraws_the_middle_of_a_grey_image(make_model: Callable[..., Path]) -> None:
    folder = make_model(in_channels=9)
    spec = read_spec(folder)
    start = start_of(spec, len(PROMPTS))
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    grey = torch.full((3, 3, spec.size, spec.size), 128 / 255)
    with torch.no_grad():  # by the mean: the script alone would add noise
        seen = pipeline.vae.encode(grey * 2 - 1).latent_dist.mean * pipeline.vae.config.scaling_factor
    side = spec.vae_scale_factor
    mask = hole(spec.latent_size).repeat_interleave(side, 0).repeat_interleave(side, 1)[None, None]
    plain = pipeline(
        PROMPTS,
        image=grey,
        mask_image=mask.expand(3, 1, -1, -1),
        masked_image_latents=seen,
        num_inference_steps=start.steps,
        guidance_scale=start.guidance,
        latents=start.noise,
        strength=1.0,
        output_type="np",
    ).images
    difference = images_of(folder, spec, start).astype(int) - (plain * 255).round().astype(int)
    assert np.abs(difference).max() <= 1


def test_batches_change_nothing_and_their_steps_add_up(
    make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model(seed=5)
    spec = read_spec(folder)
    start = start_of(spec, len(PROMPTS), steps=4)
    whole = images_of(folder, spec, start)
    monkeypatch.setattr("engines.their_images.CPU_PIXELS", 2 * spec.size**2)
    steps: list[tuple[int, int]] = []
    parts = images_of(folder, spec, start, lambda done, total: steps.append((done, total)))
    assert np.abs(parts.astype(int) - whole.astype(int)).max() <= 1
    assert steps == [(done, 8) for done in range(1, 9)]


def test_what_diffusers_cannot_draw_with_is_said_in_one_line(make_model: Callable[..., Path]) -> None:
    folder = make_model(seed=6)
    spec = read_spec(folder)
    wrong = spec.model_copy(update={"size": 60})
    with pytest.raises(EngineError, match=r"diffusers cannot draw with .*divisible by 8") as caught:
        images_of(folder, wrong, start_of(spec, len(PROMPTS)))
    assert "\n" not in str(caught.value)
