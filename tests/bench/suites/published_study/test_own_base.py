"""A small pipeline of somebody's own images: what is behind it is said, and it is a base that gen finetune takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from bench.suites.published_study.own_base import OwnImages
from engines.facts import read_facts
from engines.pipeline_spec import read_spec
from gen.builtin.train_stages import Budget
from gen.phantoms.dataset import PhantomSplit
from shards import ShardSet

SIZE = 32


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    PhantomSplit("train", 1, 7).write(folder)
    return folder / "train"


def test_it_names_all_images_and_loads(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "own"
    OwnImages(images, SIZE, Budget(encoder_steps=2, decoder_steps=2, vae_batch=2)).write_pipeline(out, tmp_path / "w")
    facts, data = read_facts(out), ShardSet.open(images)
    assert facts["lineage"] == sorted(data.rows["id"])
    assert facts["phantom"] is True
    cells = {(one["class"], one["group"]) for one in facts["validation_prompts"]}
    assert cells == set(zip(data.rows["class"], data.rows["group"], strict=True))
    spec = read_spec(out)
    assert (spec.size, spec.latent_channels) == (SIZE, 4)
    assert StableDiffusionPipeline.from_pretrained(out).unet.config.sample_size == SIZE // 4


@pytest.mark.slow
def test_its_vae_is_taught_the_images(images: Path, tmp_path: Path) -> None:
    """More steps, a better picture: the mean error of reconstructions falls by a third at least."""
    errors = []
    for steps in (2, 150):
        out = tmp_path / str(steps)
        budget = Budget(encoder_steps=steps, decoder_steps=steps)
        OwnImages(images, SIZE, budget).write_pipeline(out, tmp_path / f"{steps}.work")
        vae = StableDiffusionPipeline.from_pretrained(out).vae
        pixels = torch.stack([torch.from_numpy(image) for _, image in ShardSet.open(images).images()])
        x = torch.nn.functional.avg_pool2d(pixels.permute(0, 3, 1, 2) / 127.5 - 1, 2)
        with torch.no_grad():
            errors.append(float((vae.decode(vae.encode(x).latent_dist.mean).sample - x).abs().mean()))
    assert errors[1] < errors[0] * 2 / 3
