"""The strategies that start from a photograph, by every family: the pixels of diffusers' own pipelines for them."""

from __future__ import annotations

import inspect
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from family_pipelines import PIPELINES
from PIL import Image

import engines
from engines import Engine
from engines.checkpoint.scheduler import own_scheduler
from engines.conditioning import joined
from engines.draw import set_steps
from engines.models import families
from engines.psnr import psnr
from gen.diffusion import noise, solvers
from gen.plan import masks
from gen.plan.parents import Parents
from gen.plan.plan import MASKED, PlanRow
from gen.sampling.in_memory import sample_images
from shards.ingest.folder import open_data

SIZE, STEPS, PHOTO = 64, 6, "plaque-a"
REGION = masks.centre(SIZE)
#: It decodes without the VAE's shift (diffusers 0.37), which its siblings add; its latents are compared.
WITHOUT_SHIFT = "StableDiffusion3InpaintPipeline"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Parents:
    """A photograph of smooth colours."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "plaque").mkdir()
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(folder / "plaque" / "a.png")
    return Parents(open_data(folder), folder)


@pytest.fixture(scope="module", params=list(PIPELINES))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Engine]:
    """A folder of a family and its engine in torch."""
    folder = PIPELINES[request.param](tmp_path_factory.mktemp(request.param))
    out = tmp_path_factory.mktemp("bundle") / "bundle"
    return folder, engines.load(engines.build(folder, out, backend="torch", rows=4, size=SIZE, prompts=["a"]).folder)


def row(engine: Engine, strategy: str, strength: float) -> PlanRow:
    given = {"id": "r", "class": "plaque", "prompt": "a nodule", "parent": PHOTO, "strategy": strategy, "seed": 3}
    given |= {"solver": solvers.of_pipeline(engine.spec.scheduler), "strength": strength, "steps": STEPS, "size": SIZE}
    return PlanRow.model_validate(given | {"guidance": 4.0})


def theirs(kind: str, folder: Path, row: PlanRow, photo: Image.Image, patch: pytest.MonkeyPatch) -> np.ndarray:
    """The image by a class of diffusers, from the plan row's noise and the mean of the VAE's posterior."""
    one = getattr(diffusers, kind)
    patch.setattr(sys.modules[one.__module__], "randn_tensor", partial(start_noise, row))
    patch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    index = json.loads((folder / "model_index.json").read_text())
    left_out = {name: None for name in ("text_encoder_3", "tokenizer_3") if name in index and not index[name][0]}
    pipeline = one.from_pretrained(folder, **left_out)
    pipeline.set_progress_bar_config(disable=True)
    white = Image.fromarray(REGION.astype(np.uint8) * 255)
    given: dict[str, Any] = {"prompt": row.prompt, "image": photo, "mask_image": white, "strength": row.strength}
    given |= {"num_inference_steps": row.steps, "guidance_scale": row.guidance, "height": SIZE, "width": SIZE}
    takes = inspect.signature(one.__call__).parameters
    given = {name: value for name, value in given.items() if name in takes}
    if kind != WITHOUT_SHIFT:
        return levels(pipeline(**given, output_type="np").images)
    latents = pipeline(**given, output_type="latent").images / pipeline.vae.config.scaling_factor
    with torch.no_grad():
        pixels = pipeline.vae.decode(latents + pipeline.vae.config.shift_factor, return_dict=False)[0]
    return levels(pipeline.image_processor.postprocess(pixels, output_type="np"))


def by_its_scheduler(engine: Engine, row: PlanRow, photo: np.ndarray) -> np.ndarray:
    """Image to image by diffusers' scheduler alone, where diffusers has no pipeline for it (PixArt)."""
    spec, scheduler, taken = engine.spec, own_scheduler(engine.spec.scheduler), int(row.steps * row.strength)
    set_steps(scheduler, spec, row.steps)
    scheduler.set_begin_index(row.steps - taken)
    times, clean = scheduler.timesteps[-taken:], engine.encode(torch.tensor(photo)[None])
    latents = scheduler.add_noise(clean, start_noise(row, clean.shape), times[:1])
    grey = engine.encode(torch.full((1, SIZE, SIZE, 3), 128, dtype=torch.uint8))  # nothing of the photograph is seen
    seen = [torch.ones_like(grey[:, :1]), grey] if spec.unet_in_channels > spec.latent_channels else []
    text = joined([engine.encode_text([row.prompt]), engine.encode_text([""], negative=True)])
    for time in times:
        one = torch.cat([scheduler.scale_model_input(latents, time), *seen], dim=1)
        conditional, unconditional = engine.denoise(torch.cat([one, one]), time.expand(2), text).split(1)
        guided = unconditional + row.guidance * (conditional - unconditional)
        latents = scheduler.step(guided, time, latents).prev_sample
    return np.asarray(engine.decode(latents)[0])


def start_noise(row: PlanRow, shape: tuple[int, ...], **_: object) -> torch.Tensor:
    return torch.from_numpy(noise.normal(row.seed, row.id, noise.START, tuple(shape)))


def levels(images: np.ndarray) -> np.ndarray:
    return np.asarray((images[0] * 255).round().astype(np.uint8))


def pipelines_of(engine: Engine, word: str) -> list[str]:
    """The family's pipelines of one kind; a denoiser that sees masks is opened by that for inpainting alone."""
    family, sees = families()[engine.spec.family], engine.spec.unet_in_channels != engine.spec.latent_channels
    return [name for name in family.pipelines if word in name and (not sees or name == family.inpainting)]


@pytest.mark.parametrize("strength", [0.3, 0.75])
def test_image_to_image_is_that_of_diffusers(
    made: tuple[Path, Engine], photos: Parents, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, engine = made
    asked = row(engine, "image-to-image", strength)
    ours, photo = sample_images(engine, [asked], photos)[0], photos.image(PHOTO, SIZE)
    drawn = {
        kind: theirs(kind, folder, asked, Image.fromarray(photo), monkeypatch)
        for kind in pipelines_of(engine, "Img2Img")
    }
    for kind, image in (drawn or {"its scheduler": by_its_scheduler(engine, asked, photo)}).items():
        assert psnr(ours, image) >= max(50, 20 + psnr(photo, image)), kind


@pytest.mark.parametrize("strategy", MASKED)
def test_every_family_has_every_strategy(made: tuple[Path, Engine], photos: Parents, strategy: str) -> None:
    """What is kept is the photograph's to the bit, and the rest is drawn."""
    engine, photo = made[1], photos.image(PHOTO, SIZE)
    drawn = sample_images(engine, [row(engine, strategy, 0.9)], photos)[0]
    redrawn = {"inpaint": REGION, "outpaint": ~REGION, "inpaint-outpaint": ~masks.frame(SIZE)}[strategy]
    assert np.array_equal(drawn[~redrawn], photo[~redrawn])
    assert (drawn != photo).any(axis=2)[redrawn].mean() > 0.9


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_inpainting_is_that_of_diffusers(
    made: tuple[Path, Engine], photos: Parents, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the region; diffusers leaves around it what its autoencoder makes of the photograph, and we leave it."""
    folder, engine = made
    asked = row(engine, "inpaint", strength)
    ours, photo = sample_images(engine, [asked], photos)[0], photos.image(PHOTO, SIZE)
    assert np.array_equal(ours[~REGION], photo[~REGION])
    for kind in pipelines_of(engine, "Inpaint"):
        drawn = theirs(kind, folder, asked, Image.fromarray(photo), monkeypatch)
        assert psnr(ours[REGION], drawn[REGION]) >= max(50, 20 + psnr(photo[REGION], drawn[REGION])), kind
