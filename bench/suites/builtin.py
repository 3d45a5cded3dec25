"""The phantoms and the built-in pipeline compared with their bars; every number is measured now."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from numpy.typing import NDArray
from scipy.stats import spearmanr

from dermforge.common.skin_tone import ita, srgb_to_lab
from evalsuite.images.privacy.audit import audit_copies
from evalsuite.images.tone.measure_ita import measure_ita
from gen.builtin.classifier import predict, train_classifier
from gen.builtin.data import CELLS, Phantoms, phantoms, to_tensor
from gen.builtin.model import prompt_for
from gen.phantoms import draw
from gen.phantoms.dataset import SPLIT_BASE
from gen.phantoms.skin import ITA_RANGE

JUDGE_PER_CLASS = 2000
TEST_SEED = SPLIT_BASE["test"] + 999_000_000


@dataclass(frozen=True)
class Bar:
    """One measured number with its bar."""

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


@dataclass(frozen=True)
class GeneratedSet:
    """The images to generate: `per_cell` of each class and tone group."""

    per_cell: int
    steps: int
    guidance: float
    seed: int

    @property
    def n(self) -> int:
        return self.per_cell * len(CELLS)


def phantom_bars(work: Path) -> list[Bar]:
    """Tone of bare skin, and how hard the classes are for few and for many training images."""
    train = phantoms(-(-JUDGE_PER_CLASS // 6), 0, work / "judge-train.npz")
    test = unseen(work)
    few = train_classifier(train, 32, 360, cache=work / "judge-32.safetensors")
    many = _judge(work)
    return [
        Bar("phantoms: largest error of tone on bare skin, degrees", _largest_tone_error(), high=5),
        Bar("phantoms: accuracy of a judge trained on 32 per class", _accuracy(few, test), 0.55, 0.80),
        Bar("phantoms: accuracy of a judge trained on 2,000 per class", _accuracy(many, test), 0.95),
    ]


def pipeline_bars(folder: Path, work: Path, wanted: GeneratedSet, tick: Callable[[int], None]) -> list[Bar]:
    """Reconstruction by a pipeline's VAE, and class, tone and copies in the images that it generates."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    judge, fresh = _judge(work), unseen(work)
    made = generate(pipeline, wanted, tick)
    right = predict(judge, made.images) == made.labels
    measured = np.array([measure_ita(image).ita for image in made.images])
    known = np.isfinite(measured)
    restored = reconstruct(pipeline.vae, fresh.images)
    trained_on = training_images(folder, work)
    audit = audit_copies(train=trained_on, synthetic=made.images, test=fresh.images, control=60, folder=work)
    planted = audit.control.set_index("kind")["rate"]
    honest = audit_copies(  # what the autoencoder alone makes suspect
        train=trained_on, synthetic=restored[::2], test=fresh.images[1::2], control=1, folder=work
    )
    return [
        Bar("VAE: PSNR on unseen phantoms, dB", psnr(restored, fresh.images), 28),
        Bar(
            "VAE: share of reconstructions in which the judge sees the class",
            float((predict(judge, restored) == fresh.labels).mean()),
        ),
        Bar("generated: share of the requested class", float(right.mean()), 0.80),
        Bar(
            "generated: share of the requested class, worst class",
            min(float(right[made.labels == c].mean()) for c in set(made.labels)),
        ),
        Bar(
            "generated: Spearman of requested and measured ITA",
            float(spearmanr(made.ita[known], measured[known])[0]),
            0.95,
        ),
        Bar("generated: share called copies of training images", audit.rate.value, high=audit.calibration.false_alarms),
        Bar("no copies (unseen phantoms through the VAE): share called copies", honest.rate.value),
        Bar("planted copies of training images that the same audit finds", float(planted["all"]), 0.95),
        *(Bar(f"planted copies that it finds: {kind}", float(planted[kind]), 0.95) for kind in planted.index[1:]),
    ]


def unseen(work: Path, per_cell: int = 20) -> Phantoms:
    """Phantoms that no model here was trained on."""
    return phantoms(per_cell, TEST_SEED, work / "unseen.npz")


def training_images(folder: Path, work: Path) -> NDArray[np.uint8]:
    """The images that a built-in pipeline was trained on, drawn again from its lineage."""
    first = json.loads((folder / "dermforge.json").read_text(encoding="utf-8"))["lineage"][0]
    low, high = first.split("[")[1].split("]")[0].split("-")
    return phantoms(int(high) - int(low) + 1, int(low), work / "pipeline-train.npz").images


def generate(pipeline: StableDiffusionPipeline, wanted: GeneratedSet, tick: Callable[[int], None]) -> Phantoms:
    """Images of every cell by diffusers' own loop; `ita` is the middle of the group's range."""
    order = [i for i in range(len(CELLS)) for _ in range(wanted.per_cell)]
    images = []
    generator = torch.Generator().manual_seed(wanted.seed)
    for start in range(0, len(order), 36):
        prompts = [prompt_for(*CELLS[i]) for i in order[start : start + 36]]
        made = pipeline(
            prompts,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance,
            generator=generator,
            height=64,
            width=64,
            output_type="np",
        ).images
        images.append(np.round(made * 255).astype(np.uint8))
        tick(len(prompts))
    middle = np.array([np.mean(ITA_RANGE[CELLS[i][1]]) for i in order])
    return Phantoms(np.concatenate(images), np.array(order), middle)


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """decode(encode(x)) of uint8 [n, h, w, 3]."""
    parts = []
    for start in range(0, len(images), 60):
        x = to_tensor(images[start : start + 60], vae.device)
        y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        parts.append(((y + 1) * 127.5).round().permute(0, 2, 3, 1).byte().cpu().numpy())
    return np.concatenate(parts)


def psnr(made: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Mean over images of the peak signal-to-noise ratio, dB; 8-bit images [n, h, w, 3]."""
    error = np.square((made.astype(np.float32) - truth) / 255).mean((1, 2, 3))
    return float(np.mean(-10 * np.log10(np.maximum(error, 1e-10))))


def _judge(work: Path) -> torch.nn.Module:
    """The classifier of phantoms that judges which class a generated image shows."""
    data = phantoms(-(-JUDGE_PER_CLASS // 6), 0, work / "judge-train.npz")
    return train_classifier(data, JUDGE_PER_CLASS, 1500, cache=work / "judge-2000.safetensors")


def _accuracy(judge: torch.nn.Module, data: Phantoms) -> float:
    return float((predict(judge, data.images) == data.labels).mean())


def _largest_tone_error(per_cell: int = 20) -> float:
    drawn = [draw(c, g, TEST_SEED + k) for c, g in CELLS for k in range(per_cell)]
    return max(abs(float(ita(srgb_to_lab(p.image[p.skin] / 255.0).mean(0))) - float(p.params["ita"])) for p in drawn)
