"""Do images show what their prompts say? CLIPScore's formula (Hessel 2021), with what it gives real images beside it.

A score alone says little: encoders differ, and prompts of one plan are alike. Two references stand beside it. Real
images of the same class and skin type are scored with the same prompts: a good generator reaches about that. And each
synthetic image is scored with the prompts of the other classes: an encoder that does not tell these from its own prompt
cannot judge the alignment at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalsuite.images.cells import CELLS, parts_of
from evalsuite.images.features.extract import Features
from evalsuite.images.features.nearest import BLOCK, unit_rows
from evalsuite.images.image_data import ImageData, families
from evalsuite.images.quality.quality_table import MIN_N
from evalsuite.stats.estimate import Estimate, bootstrap_of, missing
from evalsuite.stats.resampling import Array
from shards import ImageSet

W = 2.5  # of the paper, which stretches cosines to about 0 to 1
MOST_PROMPTS = 1000  # different ones that references are scored with
NO_PROMPTS = "no synthetic image names its prompt"
COLUMNS = ("family", "cell", "kind", "extractor", "value", "low", "high", "n", "note")
KINDS = {
    "own": "synthetic images, own prompt",
    "real": "real images of the same class and skin type, the same prompts",
    "others": "synthetic images, prompts of other classes",
}


def clip_score(images: Array, texts: Array) -> Array:
    """2.5 max(cosine, 0) of each image [n, d] with each text [m, d], [n, m]; from 0 to 2.5."""
    return np.asarray(W * np.maximum(unit_rows(images) @ unit_rows(texts).T, 0))


def prompts_of(data: ImageData) -> list[str | None]:
    """The prompt of each image, or None."""
    if isinstance(data, ImageSet):
        return [sample.prompt for sample, _ in data.samples()]
    return [sample.prompt for sample, _ in data.images()]


Cell = tuple[object, object]  # class and skin type


@dataclass(frozen=True)
class _Prompts:
    """What the different prompts become, [m, d].

    Attributes
    ----------
    of_image
        Place of each synthetic image's prompt, [n]; -1: it has none.
    rows
        Rows of the synthetic images with a prompt, by class and skin type.
    counts
        How many of them have each prompt, [m], of those that references are scored with.
    """

    vectors: Array
    of_image: NDArray[np.intp]
    rows: dict[Cell, NDArray[np.intp]]
    counts: dict[Cell, NDArray[np.float64]]


def alignment_table(
    real: Features, synthetic: Features, prompts: Sequence[str | None], *, resamples: int = 500, seed: int = 0
) -> pd.DataFrame:
    """One row per cell and kind of pair (`KINDS`): family, cell, kind, extractor, value, low, high, n, note.

    Values are means of `clip_score`, intervals over families of images. Real images count as their classes and skin
    types do among the synthetic ones. Fewer than `MIN_N` images of a kind are not enough data.
    """
    texts = synthetic.extractor.texts
    assert texts is not None
    known = [p for p in dict.fromkeys(prompts) if p]
    if not known:
        none = missing(0, NO_PROMPTS).columns()
        row = {"family": "overall", "cell": "all", "kind": "own", "extractor": synthetic.extractor.name}
        return pd.DataFrame([row | none])
    asked = _asked(known, prompts, synthetic, np.asarray(texts(known), dtype=np.float64), seed)
    frames = {"own": _own(synthetic, asked), "real": _of_real(real, asked), "others": _of_others(synthetic, asked)}
    records = []
    for family, keys in CELLS.items():
        for kind, frame in frames.items():
            for cell, part in parts_of(frame, keys):
                found = _mean(part, resamples, seed, real.frame)
                head = {"family": family, "cell": cell, "kind": kind, "extractor": synthetic.extractor.name}
                records.append(head | found.columns())
    return pd.DataFrame(records)


def _asked(known: list[str], prompts: Sequence[str | None], made: Features, vectors: Array, seed: int) -> _Prompts:
    place = {prompt: i for i, prompt in enumerate(known)}
    of_image = np.array([place.get(p or "", -1) for p in prompts], dtype=np.intp)
    some = np.random.default_rng(seed).choice(len(known), min(len(known), MOST_PROMPTS), replace=False)
    kept = np.isin(np.arange(len(known)), some)
    rows, counts = {}, {}
    for cell, here in _cells(made.frame).items():
        if len(asked := here[of_image[here] >= 0]):
            rows[cell] = asked
            counts[cell] = np.bincount(of_image[asked], minlength=len(known)) * kept.astype(float)
    return _Prompts(vectors, of_image, rows, {cell: many for cell, many in counts.items() if many.any()})


def _cells(frame: pd.DataFrame) -> dict[Cell, NDArray[np.intp]]:
    """The rows of each class and skin type; an unknown skin type is one of its own."""
    found: dict[Cell, list[int]] = {}
    for i, cell in enumerate(zip(frame["class"], frame["group"], strict=True)):
        found.setdefault(cell, []).append(i)
    return {cell: np.array(rows, dtype=np.intp) for cell, rows in found.items()}


def _own(made: Features, asked: _Prompts) -> pd.DataFrame:
    rows = np.flatnonzero(asked.of_image >= 0)
    score = [_paired(made.take(some), asked.vectors[asked.of_image[some]]) for some in _blocks(rows)]
    return made.frame.iloc[rows].assign(score=np.concatenate(score), weight=1.0)


def _of_real(real: Features, asked: _Prompts) -> pd.DataFrame:
    """Real images with the prompts of their class and skin type, weighted as these are among the synthetic images."""
    parts = []
    for cell, rows in _cells(real.frame).items():
        if cell in asked.counts:
            score, weight = _with(real, rows, asked, asked.counts[cell]), len(asked.rows[cell]) / len(rows)
            parts.append(real.frame.iloc[rows].assign(score=score, weight=weight))
    return pd.concat(parts) if parts else real.frame.iloc[:0].assign(score=0.0, weight=1.0)


def _of_others(made: Features, asked: _Prompts) -> pd.DataFrame:
    """Synthetic images with the prompts of the other classes, of their own skin type."""
    parts = []
    for (label, group), rows in asked.rows.items():
        others = [many for (c, g), many in asked.counts.items() if c != label and g == group]
        if others:
            score = _with(made, rows, asked, np.asarray(np.sum(others, axis=0)))
            parts.append(made.frame.iloc[rows].assign(score=score, weight=1.0))
    return pd.concat(parts) if parts else made.frame.iloc[:0].assign(score=0.0, weight=1.0)


def _with(of: Features, rows: NDArray[np.intp], asked: _Prompts, counts: NDArray[np.float64]) -> Array:
    """The mean score of each row over prompts that were used so often, [m]."""
    used = counts > 0
    texts, share = asked.vectors[used], counts[used] / counts.sum()
    return np.concatenate([clip_score(of.take(some), texts) @ share for some in _blocks(rows)])


def _paired(images: Array, texts: Array) -> Array:
    """The score of each image with its own text, [n]."""
    return np.asarray(W * np.maximum((unit_rows(images) * unit_rows(texts)).sum(1), 0))


def _blocks(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK)]


def _mean(part: pd.DataFrame, resamples: int, seed: int, parents: pd.DataFrame) -> Estimate:
    if len(part) < MIN_N:
        return missing(len(part), f"{len(part)} images with a prompt; {MIN_N} are the least")
    score, weight = part["score"].to_numpy(dtype=float), part["weight"].to_numpy(dtype=float)
    family = families(part, parents)
    return bootstrap_of(_weighted, score, weight, resamples=resamples, seed=seed, family=family)


def _weighted(score: Array, weight: Array) -> float:
    return float(np.average(score, weights=weight))
