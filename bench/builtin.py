"""The built-in phantoms and pipeline against their bars: every number is measured here and now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from numpy.typing import NDArray
from scipy.stats import spearmanr

from bench.judge import predict, train_judge
from evalsuite.tone import measure_ita
from gen.builtin.data import CELLS, Phantoms, phantoms
from gen.builtin.model import prompt_for
from gen.builtin.train import FLIPS, to_tensor
from gen.phantoms import draw
from gen.phantoms.dataset import SPLIT_BASE
from gen.phantoms.skin import ITA_RANGE
from shards.console import progress
from shards.tone import ita, srgb_to_lab

JUDGE_PER_CLASS = 2000
TEST_SEED = SPLIT_BASE["test"] + 999_000_000


@dataclass(frozen=True)
class Bar:
    """One measured number beside its bar."""

    name: str
    value: float
    low: float = -np.inf
    high: float = np.inf

    @property
    def passed(self) -> bool:
        return self.low <= self.value <= self.high

    @property
    def wanted(self) -> str:
        if np.isinf(self.low) and np.isinf(self.high):
            return ""
        if np.isinf(self.low):
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if np.isinf(self.high) else f"{self.low:g} to {self.high:g}"


def phantom_bars(work: Path) -> list[Bar]:
    """Tone of bare skin, and how hard the classes are for few and for many training images."""
    train = phantoms(-(-JUDGE_PER_CLASS // 6), 0, work / "judge-train.npz")
    test = unseen(work)
    few = train_judge(train, 32, 360, cache=work / "judge-32.safetensors")
    many = train_judge(train, JUDGE_PER_CLASS, 1500, cache=work / "judge-2000.safetensors")
    return [
        Bar("phantoms: largest error of tone on bare skin, degrees", _largest_tone_error(), high=5),
        Bar("phantoms: accuracy of a judge trained on 32 per class", _accuracy(few, test), 0.55, 0.80),
        Bar("phantoms: accuracy of a judge trained on 2,000 per class", _accuracy(many, test), 0.95),
    ]


def pipeline_bars(folder: Path, work: Path, *, per_cell: int, steps: int, guidance: float, seed: int) -> list[Bar]:
    """Reconstruction, class and tone of what a pipeline folder generates, and whether any of it is a copy."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    judge = train_judge(phantoms(-(-JUDGE_PER_CLASS // 6), 0, work / "judge-train.npz"), JUDGE_PER_CLASS, 1500,
                        cache=work / "judge-2000.safetensors")
    made = generate(pipeline, per_cell, steps, guidance, seed)
    right = predict(judge, made.images) == made.labels
    measured = np.array([measure_ita(image).ita for image in made.images])
    known = np.isfinite(measured)
    return [
        Bar("VAE: PSNR on unseen phantoms, dB", reconstruction_psnr(pipeline.vae, unseen(work).images), 28),
        Bar("generated: share of the requested class", float(right.mean()), 0.80),
        Bar("generated: share of the requested class, worst class",
            min(float(right[made.labels == c].mean()) for c in set(made.labels))),
        Bar("generated: Spearman of requested and measured ITA", float(spearmanr(made.ita[known], measured[known])[0]),
            0.95),
        Bar("generated: images nearer to a training image than any unseen phantom is",
            copies(made.images, training_images(folder, work), unseen(work).images), high=0),
    ]


def unseen(work: Path, per_cell: int = 20) -> Phantoms:
    """Phantoms that no model here was trained on."""
    return phantoms(per_cell, TEST_SEED, work / "unseen.npz")


def training_images(folder: Path, work: Path) -> NDArray[np.uint8]:
    """The images a built-in pipeline was trained on, drawn again from its lineage."""
    import json

    first = json.loads((folder / "dermforge.json").read_text(encoding="utf-8"))["lineage"][0]
    low, high = first.split("[")[1].split("]")[0].split("-")
    return phantoms(int(high) - int(low) + 1, int(low), work / "pipeline-train.npz").images


def generate(pipeline: StableDiffusionPipeline, per_cell: int, steps: int, guidance: float, seed: int) -> Phantoms:
    """`per_cell` images of every cell by diffusers' own loop; `ita` is the middle of the group's range."""
    order = [i for i in range(len(CELLS)) for _ in range(per_cell)]
    images = []
    generator = torch.Generator().manual_seed(seed)
    with progress("generate", len(order)) as tick:
        for start in range(0, len(order), 36):
            prompts = [prompt_for(*CELLS[i]) for i in order[start : start + 36]]
            made = pipeline(prompts, num_inference_steps=steps, guidance_scale=guidance, generator=generator,
                            height=64, width=64, output_type="np").images
            images.append(np.round(made * 255).astype(np.uint8))
            tick(len(prompts))
    middle = np.array([np.mean(ITA_RANGE[CELLS[i][1]]) for i in order])
    return Phantoms(np.concatenate(images), np.array(order), middle)


@torch.no_grad()
def reconstruction_psnr(vae: AutoencoderKL, images: NDArray[np.uint8]) -> float:
    """Mean over images of the PSNR of decode(encode(x)), dB."""
    values = []
    for start in range(0, len(images), 60):
        x = to_tensor(images[start : start + 60], vae.device)
        restored = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        values.append(-10 * torch.log10(((restored - x) / 2).square().mean((1, 2, 3))))
    return float(torch.cat(values).mean())


def copies(made: NDArray[np.uint8], train: NDArray[np.uint8], fresh: NDArray[np.uint8]) -> float:
    """How many images lie nearer to a training image (or its flips) than the nearest unseen phantom does."""
    reference = torch.cat([_thumbnails(train, axes) for axes in FLIPS])
    return float((_nearest(made, reference) < _nearest(fresh, reference).min()).sum())


def _thumbnails(images: NDArray[np.uint8], axes: tuple[int, ...] = ()) -> torch.Tensor:
    parts = [torch.nn.functional.avg_pool2d(to_tensor(images[i : i + 1000], torch.device("cpu")), 4)
             for i in range(0, len(images), 1000)]
    small = torch.cat(parts)
    small = (small - small.mean((2, 3), keepdim=True)).flip(axes) if axes else small - small.mean((2, 3), keepdim=True)
    return torch.nn.functional.normalize(small.flatten(1), dim=1)


def _nearest(images: NDArray[np.uint8], reference: torch.Tensor) -> torch.Tensor:
    """Distance of each image to the nearest reference: of thumbnails without their mean colour, at unit contrast."""
    return torch.cat([torch.cdist(part, reference).amin(1) for part in _thumbnails(images).split(256)])


def _accuracy(judge: torch.nn.Module, data: Phantoms) -> float:
    return float((predict(judge, data.images) == data.labels).mean())


def _largest_tone_error(per_cell: int = 20) -> float:
    drawn = [draw(c, g, TEST_SEED + k) for c, g in CELLS for k in range(per_cell)]
    return max(
        abs(float(ita(srgb_to_lab(p.image[p.skin] / 255.0).mean(0))) - float(p.params["ita"])) for p in drawn
    )
