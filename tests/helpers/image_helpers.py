"""Phantom images, feature clouds and shards to measure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.images.features.extract import Features
from evalsuite.images.features.extractors import Extractor
from evalsuite.images.image_data import ArrayImages
from evalsuite.images.tone.cut_points import CUTS
from evalsuite.images.tone.measure_ita import tone_index
from evalsuite.images.tone.tone_table import requested_steps
from gen.phantoms import CLASSES, draw
from shards import Sample, ShardSetWriter, encode_image
from shards.format.schema import Origin

DATA = Path(os.environ.get("DERMFORGE_SHARED", Path(__file__).parents[3] / "shared")) / "data"
SSYNTH = DATA / "ssynth"
PLAIN = Extractor("plain", "plain", lambda images: images.reshape(len(images), -1).astype(np.float32))


def features(
    n: int,
    *,
    shift: float = 0.0,
    seed: int = 0,
    classes: int = 3,
    groups: tuple[str, ...] = ("light", "dark"),
    parent: list[str] | None = None,
) -> Features:
    """Gaussian clouds, one a class, moved by `shift` in every number."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % classes
    values = rng.normal(size=(n, 8)) + shift + 4 * np.eye(8)[label]
    frame = pd.DataFrame(
        {
            "id": [f"{seed}-{i}" for i in range(n)],
            "class": [f"c{k}" for k in label],
            "group": [groups[i // classes % len(groups)] for i in range(n)],
            "strategy": "text-to-image",
            "split": None,
            "cluster": None,
            "parent": parent,
            "image_sha256": "",
        }
    )
    return Features(values.astype(np.float32), frame, PLAIN)


def clouds(n: int, m: int, d: int, shift: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) / np.sqrt(d)
    return rng.normal(size=(n, d)) @ mix, rng.normal(size=(m, d)) @ mix * 1.1 + shift


def phantoms(n: int, start: int) -> list[np.ndarray]:
    """Phantoms of all classes and tones in turn."""
    return [draw(CLASSES[i % 6], TONE_GROUPS[i // 6 % 6], start + i).image for i in range(n)]


def phantom_set(n: int, start: int = 0, size: int = 64) -> ArrayImages:
    """The same with their classes and tones."""
    samples, arrays = [], []
    for i in range(start, start + n):
        cls, group = CLASSES[i % 6], TONE_GROUPS[i // 6 % 6]
        samples.append(Sample(id=f"p{i}", origin="phantom", label=cls, group=group))
        arrays.append(draw(cls, group, i, size).image)
    return ArrayImages(samples, arrays)


def renderings() -> list[np.ndarray]:
    """Four crops of each S-SYNTH rendering, in a fixed random order."""
    if not SSYNTH.is_dir():
        pytest.skip("the S-SYNTH renderings are not here")
    crops = []
    for file in sorted(SSYNTH.glob("*.jpg")):
        image = np.asarray(Image.open(file).convert("RGB"))
        half = image.shape[0] // 2
        crops += [image[y : y + half, x : x + half] for y in (0, half) for x in (0, half)]
    return [crops[i] for i in np.random.default_rng(0).permutation(len(crops))]


def synthetic_set(arrays: list[np.ndarray], word: str, **fields: Any) -> ArrayImages:
    samples = [
        Sample(id=f"{word}-{i}", origin="synthetic", label=CLASSES[i % 6], group=TONE_GROUPS[i % 6], **fields)
        for i in range(len(arrays))
    ]
    return ArrayImages(samples, [np.ascontiguousarray(a) for a in arrays])


def write_shards(
    folder: Path, start: int, per_cell: int, origin: Origin, split: Any = None, of_the_first: int | None = None
) -> Path:
    """Phantom shards of every cell; another number of the first class if asked for."""
    with ShardSetWriter(folder, "p", classes=CLASSES) as writer:
        for c, cls in enumerate(CLASSES):
            for g, group in enumerate(TONE_GROUPS):
                for i in range(of_the_first or per_cell if c == 0 else per_cell):
                    image = encode_image(draw(cls, group, start + i).image, "png", 0)
                    sample = Sample(
                        id=f"{origin}-{start:05d}-{c}-{g}-{i:03d}",
                        origin=origin,
                        label=cls,
                        group=group,
                        split=split,
                        strategy="text-to-image" if origin == "synthetic" else None,
                    )
                    writer.add(sample, image, "png")
    return folder


def toned_phantoms(per_cell: int, *, wrong: float = 0.0) -> ArrayImages:
    """Phantoms of every cell; a share of them drawn in the darkest tone whatever was requested."""
    rng, samples, arrays = np.random.default_rng(0), [], []
    for cls in CLASSES:
        for group in TONE_GROUPS:
            for i in range(per_cell):
                samples.append(Sample(id=f"{cls}-{group}-{i}", origin="phantom", label=cls, group=group))
                arrays.append(draw(cls, "dark" if rng.random() < wrong else group, i).image)
    return ArrayImages(samples, arrays)


def tone_measures(angles: dict[str, list[float]], **fields: list[str]) -> pd.DataFrame:
    """A table of measures with these angles and, beyond them, nothing out of the ordinary."""
    group = [g for g, values in angles.items() for _ in values]
    found = np.array([a for values in angles.values() for a in values], dtype=float)
    cuts = CUTS["del-bino"]
    steps = [requested_steps(g) or (0, 0) for g in group]
    frame = pd.DataFrame(
        {
            "id": [f"i{k}" for k in range(len(group))],
            "class": "plaque",
            "group": group,
            "strategy": None,
            "parent": None,
            "cluster": None,
            "ita": found,
            "not_measured": "",
            "lesion_contrast": 9.0,
            "shading": 1.0,
            "requested": [float(s[0]) for s in steps],
        }
    )
    edges = [np.inf, *cuts, -np.inf]
    frame["steps_off"] = [tone_index(a, cuts) - s[0] for a, s in zip(found, steps, strict=True)]
    frame["degrees_off"] = [
        max(a - edges[s[0]], 0) + min(a - edges[s[0] + 1], 0) for a, s in zip(found, steps, strict=True)
    ]
    return frame.assign(**fields)
