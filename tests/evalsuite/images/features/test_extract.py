"""Features stream, are stored by digest, and agree with torch-fidelity from the images on."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from flips import flipped, some_bits
from image_helpers import phantom_set

from dermforge.common.errors import DataWarning, UserError
from evalsuite.images.features import extractors
from evalsuite.images.features.extract import Preprocess, extract
from evalsuite.images.features.extractors import random_conv
from evalsuite.images.quality.fid import frechet_distance, moments
from evalsuite.images.quality.kid import kid_over_subsets
from evalsuite.images.quality.prdc import prdc
from gen.phantoms import draw
from shards import Sample


def test_features_are_computed_once_and_kept_by_digest(tmp_path: Path) -> None:
    data, calls = phantom_set(10), []

    def embed(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        return images.reshape(len(images), -1)[:, :5].astype(np.float32)

    extractor = extractors.Extractor("five-pixels", "v1", embed)
    first = extract(data, extractor, Preprocess(32, None), tmp_path, batch=4)
    assert calls == [4, 4, 2]  # streamed: one batch in memory at a time
    second = extract(data, extractor, Preprocess(32, None), tmp_path, batch=4)
    assert calls == [4, 4, 2]
    np.testing.assert_array_equal(first.values, second.values)
    extract(data, extractor, Preprocess(32, 90), tmp_path)  # another codec is another cache
    extract(data, extractors.Extractor("five-pixels", "v2", embed), Preprocess(32, None), tmp_path)
    assert len(list(tmp_path.glob("features-*.npy"))) == 3


def test_an_interrupted_extraction_leaves_no_file(tmp_path: Path) -> None:
    def embed(images: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(phantom_set(2), extractors.Extractor("x", "x", embed), Preprocess(32), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_codec_and_resize_are_the_same_for_both_sides() -> None:
    """A PNG set and a JPEG set of the same pictures come out nearly equal, at any input size."""
    image = draw("plaque", "tan", 3, 128).image
    step = Preprocess(64, 90)
    assert step(image).shape == (64, 64, 3)
    twice = step(Preprocess(128, 90)(image))
    assert np.abs(step(image).astype(int) - twice).mean() < 2
    assert Preprocess(64, None)(image[:, :100]).shape == (64, 64, 3)


class Many:
    """More images than memory should hold: each is made when it is asked for."""

    def __init__(self, n: int) -> None:
        self.rows = pd.DataFrame({"id": [f"m{i}" for i in range(n)], "image_sha256": ""})

    def images(self) -> Iterator[tuple[Sample, np.ndarray]]:
        for name in self.rows["id"]:
            yield Sample(id=name, origin="real", label="a"), np.zeros((256, 256, 3), np.uint8)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """Peak of what Python and numpy allocate: 640 images of 196 kB are 126 MB, a batch is 3 MB."""
    small = extractors.Extractor("mean", "mean", lambda x: x.reshape(len(x), -1)[:, :4].astype(np.float32))
    peaks = []
    for n in (64, 640):
        many: Any = Many(n)
        tracemalloc.start()
        extract(many, small, Preprocess(64, None), tmp_path, batch=16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2_000_000, peaks


def test_both_sides_agree_with_torch_fidelity_from_the_images_on(tmp_path: Path) -> None:
    """The whole road: the same images through the same network by torch-fidelity's own code and by ours."""
    pytest.importorskip("torch_fidelity")
    from torch_fidelity import calculate_metrics, register_feature_extractor
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    ours = random_conv(dim=16)

    class Same(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **_: object) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str]:
            return ("16",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "16"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        @staticmethod
        def get_dummy_input_for_compile() -> torch.Tensor:
            return torch.zeros(1, 3, 64, 64, dtype=torch.uint8)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (torch.from_numpy(ours.embed(x.permute(0, 2, 3, 1).numpy())),)

    register_feature_extractor("same", Same)
    a, b = phantom_set(90), phantom_set(90, 500)
    real, made = (extract(d, ours, Preprocess(64, None), tmp_path) for d in (a, b))
    sides = [torch.utils.data.TensorDataset(torch.from_numpy(np.stack(d.arrays)).permute(0, 3, 1, 2)) for d in (b, a)]
    theirs = calculate_metrics(
        input1=_Only(sides[0]),
        input2=_Only(sides[1]),
        fid=True,
        kid=True,
        prc=True,
        feature_extractor="same",
        kid_subset_size=50,
        kid_subsets=10,
        prc_neighborhood=3,
        batch_size=32,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    x, y = real.take(np.arange(90)), made.take(np.arange(90))
    found = prdc(x, y, k=3)
    assert frechet_distance(moments(x), moments(y)) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert kid_over_subsets(y, x, 50, 10, 2020) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert found.precision.value == pytest.approx(theirs["precision"], abs=1e-6)
    assert found.recall.value == pytest.approx(theirs["recall"], abs=1e-6)


class _Only(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The images of a TensorDataset without its tuples, as torch-fidelity takes them."""

    def __init__(self, data: torch.utils.data.TensorDataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.data[i][0]


@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_damaged_features_are_computed_again_and_that_is_said(count: int, tmp_path: Path) -> None:
    data, step = phantom_set(4), Preprocess(32, None)
    plain = extractors.Extractor("plain", "v1", lambda x: x.reshape(len(x), -1)[:, :3].astype(np.float32))
    values = extract(data, plain, step, tmp_path).take()
    file = next(tmp_path.glob("features-*.npy"))
    for bit in some_bits(file, count):
        with flipped(file, bit), pytest.warns(DataWarning, match=r"npy is damaged, .* it is computed again"):
            assert np.array_equal(extract(data, plain, step, tmp_path).take(), values)


def test_extractors_without_numbers_are_told(tmp_path: Path) -> None:
    """One line, not LAPACK's traceback."""
    data, step = phantom_set(4), Preprocess(32, None)
    empty = extractors.Extractor("nan", "v2", lambda x: np.full((len(x), 3), np.nan, np.float32))
    with pytest.raises(UserError, match="nan gives no finite features for p0"):
        extract(data, empty, step, tmp_path)
