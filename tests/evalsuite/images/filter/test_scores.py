"""Broken images, wrong classes and wrong tones score low."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dermforge.common.errors import UserError
from evalsuite.images.features.extract import Preprocess, extract
from evalsuite.images.features.extractors import Extractor
from evalsuite.images.filter.scores import intactness, recognition, typicality
from evalsuite.images.image_data import ArrayImages
from gen.phantoms import draw
from shards import Sample


def test_one_class_cannot_be_recognised(tmp_path: Path) -> None:
    """In one line, not scikit-learn's traceback."""
    samples = [Sample(id=f"s{i}", origin="real", label="a") for i in range(30)]
    data = ArrayImages(samples, [np.full((8, 8, 3), i, np.uint8) for i in range(30)])
    means = Extractor("means", "means", lambda x: x.reshape(len(x), -1, 3).mean(1).astype(np.float32))
    features = extract(data, means, Preprocess(8, None), tmp_path)
    with pytest.raises(UserError, match="two classes"):
        recognition(features, features)


def test_a_burnt_out_image_is_not_intact_however_much_it_varies() -> None:
    """Half white and half black has the largest spread that there is, and shows nothing."""
    burnt = np.zeros((32, 32, 3), np.uint8)
    burnt[:16] = 255
    skin = np.random.default_rng(0).normal(170, 20, (32, 32, 3)).clip(2, 250).astype(np.uint8)
    half = np.where(burnt == 255, burnt, skin)
    names = ["burnt", "half", "skin"]
    samples = [Sample(id=name, origin="synthetic", label="a") for name in names]
    scores = intactness(ArrayImages(samples, [burnt, half, skin]))
    assert scores["burnt"] == 0
    assert scores["half"] == pytest.approx(half.mean(-1).std() / 2)
    assert scores["skin"] == pytest.approx(skin.mean(-1).std())


def test_broken_images_and_wrong_classes_score_low(tmp_path: Path) -> None:
    """White squares as one class, black ones as the other: a wrong label, noise and a constant image stand out."""
    rng = np.random.default_rng(0)

    def image(label: str) -> np.ndarray:
        base = 170 if label == "a" else 80
        return np.clip(rng.normal(base, 20, (32, 32, 3)), 2, 250).astype(np.uint8)

    def data(labels: list[str], word: str) -> ArrayImages:
        samples = [Sample(id=f"{word}{i}", origin="real", label=lab) for i, lab in enumerate(labels)]
        return ArrayImages(samples, [image(lab) for lab in labels])

    means = Extractor("means", "means", lambda x: x.reshape(len(x), -1, 3).mean(1).astype(np.float32) / 100)
    train = extract(data(["a", "b"] * 30, "t"), means, Preprocess(32, None), tmp_path)
    wrong = data(["a", "b"], "w")
    wrong = ArrayImages(wrong.samples, [wrong.arrays[1], wrong.arrays[1]])  # the first shows b and says a
    probed = extract(wrong, means, Preprocess(32, None), tmp_path)
    seen, near = recognition(train, probed), typicality(train, probed)
    assert seen["w0"] < 0.2 < 0.8 < seen["w1"]
    assert near["w0"] < near["w1"]
    flat = ArrayImages(
        [Sample(id=i, origin="synthetic", label="a") for i in ("flat", "white", "fine")],
        [np.full((32, 32, 3), 120, np.uint8), np.full((32, 32, 3), 255, np.uint8), draw("macule", "tan", 0).image],
    )
    intact = intactness(flat)
    assert intact["flat"] == intact["white"] == 0
    assert intact["fine"] > 5
