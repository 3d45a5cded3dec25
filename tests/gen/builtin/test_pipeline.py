"""The committed pipeline: an ordinary diffusers folder, small, with its lineage."""

from __future__ import annotations

import json

import torch
from diffusers import StableDiffusionPipeline

from dermforge.common.id_ranges import count, overlap
from dermforge.common.skin_tone import TONE_GROUPS
from gen.builtin import pipeline_folder
from gen.builtin.data import CELLS
from gen.builtin.model import prompt_for
from gen.phantoms import CLASSES
from gen.phantoms.dataset import phantom_id


def test_the_committed_folder_is_small_and_holds_no_pickle() -> None:
    files = [p for p in pipeline_folder().rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files if p.suffix == ".safetensors") <= 25e6
    assert not [p for p in files if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]


def test_diffusers_loads_and_samples_the_committed_folder() -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(pipeline_folder())
    assert pipeline.unet.dtype == pipeline.vae.dtype == pipeline.text_encoder.dtype == torch.float32
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline(
        prompt_for("plaque", "tan"),
        num_inference_steps=8,
        guidance_scale=3.0,
        height=64,
        width=64,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images[0]
    assert image.shape == (64, 64, 3)
    assert image.std() > 0.01


def test_its_lineage_names_its_training_phantoms() -> None:
    facts = json.loads((pipeline_folder() / "dermforge.json").read_text(encoding="utf-8"))
    n = count(facts["lineage"]) // len(CELLS)
    seen, unseen = phantom_id("plaque", "tan", n - 1), phantom_id("plaque", "tan", n)
    assert overlap([seen, unseen], facts["lineage"]) == [seen]
    assert (facts["classes"], facts["groups"]) == (list(CLASSES), list(TONE_GROUPS))
