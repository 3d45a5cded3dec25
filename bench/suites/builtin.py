"""The phantoms and the built-in pipeline compared with their bars; every number is measured now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from dermforge.common.skin_tone import TONE_GROUPS, ita, srgb_to_lab
from engines.engine import Engine
from engines.psnr import psnr
from evalsuite.images.privacy.audit import audit_copies
from evalsuite.images.quality.prdc import prdc
from evalsuite.images.tone.measure_ita import measure_ita
from gen.builtin.classifier import features, predict, train_classifier
from gen.builtin.data import CELLS, Phantoms, phantoms
from gen.builtin.model import prompt_for
from gen.phantoms import draw
from gen.phantoms.dataset import SPLIT_BASE
from gen.phantoms.skin import ITA_RANGE
from gen.plan.plan import PlanRow
from gen.sampling.in_memory import sample_images

JUDGE_PER_CLASS = 2000
FURTHER = 5_000  # draws between two sets that no model saw
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
    interval: tuple[float, float] | None = None

    @property
    def n(self) -> int:
        return self.per_cell * len(CELLS)


def phantom_bars(work: Path) -> list[Bar]:
    """Tone of bare skin, and how hard the classes are for few and for many training images."""
    train = phantoms(-(-JUDGE_PER_CLASS // 6), 0, work / "judge-train.safetensors")
    test = unseen(work)
    few = train_classifier(train, 32, 360, cache=work / "judge-32.safetensors")
    many = _judge(work)
    return [
        Bar("phantoms: largest error of tone on bare skin, degrees", _largest_tone_error(), high=5),
        Bar("phantoms: accuracy of a judge trained on 32 per class", _accuracy(few, test), 0.55, 0.80),
        Bar("phantoms: accuracy of a judge trained on 2,000 per class", _accuracy(many, test), 0.95),
    ]


def pipeline_bars(engine: Engine, work: Path, wanted: GeneratedSet, tick: Callable[[int], None]) -> list[Bar]:
    """Reconstruction by a pipeline's VAE, and class, tone and copies in the images that it generates."""
    judge, fresh = _judge(work), unseen(work)
    made = generate(engine, wanted, tick)
    right = predict(judge, made.images) == made.labels
    measured = np.array([measure_ita(image).ita for image in made.images])
    known = np.isfinite(measured)
    restored = engine.decode(engine.encode(torch.from_numpy(fresh.images))).numpy()
    trained_on = training_images(engine.spec.lineage, work)
    audit = audit_copies(train=trained_on, synthetic=made.images, test=fresh.images, control=60, folder=work)
    planted = audit.control.set_index("kind")["rate"]
    honest = audit_copies(  # what the autoencoder alone makes suspect
        train=trained_on, synthetic=restored[::2], test=fresh.images[1::2], control=1, folder=work
    )
    return [
        Bar("VAE: PSNR on unseen phantoms, dB", float(np.mean(list(map(psnr, restored, fresh.images)))), 28),
        Bar(
            "VAE: share of reconstructions in which the judge sees the class",
            float((predict(judge, restored) == fresh.labels).mean()),
        ),
        Bar("generated: share of the requested class", float(right.mean()), 0.92),
        Bar(
            "generated: share of the requested class, worst class",
            min(float(right[made.labels == c].mean()) for c in set(made.labels)),
            0.75,
        ),
        Bar(
            "generated: Spearman of requested and measured ITA",
            float(spearmanr(made.ita[known], measured[known])[0]),
            0.98,
        ),
        Bar(
            "generated: spread of tone within a cell, compared with phantoms, narrowest tone group",
            float((_spread_of_tone(made) / _spread_of_tone(fresh)).min()),
            0.8,
        ),
        Bar("generated: recall, compared with other phantoms'", _recall(judge, made, fresh, work), 0.8),
        Bar("generated: share called copies of training images", audit.rate.value, high=audit.calibration.false_alarms),
        Bar("no copies (unseen phantoms through the VAE): share called copies", honest.rate.value),
        Bar("planted copies of training images that the same audit finds", float(planted["all"]), 0.95),
        *(Bar(f"planted copies that it finds: {kind}", float(planted[kind]), 0.95) for kind in planted.index[1:]),
    ]


def _spread_of_tone(drawn: Phantoms) -> NDArray[np.float64]:
    """The standard deviation of measured ITA within a cell, mean over the classes of each tone group, degrees."""
    angles = np.array([measure_ita(image).ita for image in drawn.images])
    of_cell = np.array([np.nanstd(angles[drawn.cells == cell]) for cell in range(len(CELLS))])
    groups = np.array([group for _, group in CELLS])
    return np.array([of_cell[groups == group].mean() for group in TONE_GROUPS])


def _recall(judge: torch.nn.Module, made: Phantoms, fresh: Phantoms, work: Path) -> float:
    """Recall (Kynkaanniemi 2019) of unseen phantoms in the judge's features, relative to that by as many others."""
    others = phantoms(
        len(made.images) // len(CELLS), TEST_SEED + FURTHER, work / f"others-{len(made.images)}.safetensors"
    )
    real = features(judge, fresh.images)
    recalls = [prdc(real, features(judge, one.images)).recall.value for one in (made, others)]
    return recalls[0] / recalls[1]


def unseen(work: Path, per_cell: int = 20) -> Phantoms:
    """Phantoms that no model here was trained on."""
    return phantoms(per_cell, TEST_SEED, work / "unseen.safetensors")


def training_images(lineage: Sequence[str], work: Path) -> NDArray[np.uint8]:
    """The images that a built-in pipeline was trained on, drawn again from its lineage."""
    low, high = lineage[0].split("[")[1].split("]")[0].split("-")
    return phantoms(int(high) - int(low) + 1, int(low), work / "pipeline-train.safetensors").images


def generate(engine: Engine, wanted: GeneratedSet, tick: Callable[[int], None]) -> Phantoms:
    """Images of every cell by the sampler; `ita` is the middle of the group's range."""
    order = [i for i in range(len(CELLS)) for _ in range(wanted.per_cell)]
    rows = [
        PlanRow.model_validate(
            {
                "id": f"{number:06d}",
                "class": CELLS[i][0],
                "prompt": prompt_for(*CELLS[i]),
                "seed": wanted.seed,
                "solver": "ddim",
                "steps": wanted.steps,
                "guidance": wanted.guidance,
                "guidance_interval": wanted.interval,
                "size": engine.spec.size,
            }
        )
        for number, i in enumerate(order)
    ]
    images = []
    for start in range(0, len(rows), 72):
        images.append(sample_images(engine, rows[start : start + 72]))
        tick(len(images[-1]))
    middle = np.array([np.mean(ITA_RANGE[CELLS[i][1]]) for i in order])
    return Phantoms(np.concatenate(images), np.array(order), middle)


def _judge(work: Path) -> torch.nn.Module:
    """The classifier of phantoms that judges which class a generated image shows."""
    data = phantoms(-(-JUDGE_PER_CLASS // 6), 0, work / "judge-train.safetensors")
    return train_classifier(data, JUDGE_PER_CLASS, 1500, cache=work / "judge-2000.safetensors")


def _accuracy(judge: torch.nn.Module, data: Phantoms) -> float:
    return float((predict(judge, data.images) == data.labels).mean())


def _largest_tone_error(per_cell: int = 20) -> float:
    drawn = [draw(c, g, TEST_SEED + k) for c, g in CELLS for k in range(per_cell)]
    return max(abs(float(ita(srgb_to_lab(p.image[p.skin] / 255.0).mean(0))) - float(p.params["ita"])) for p in drawn)
