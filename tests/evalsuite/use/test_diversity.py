"""Diversity in all images and in each class: a narrower student, families that count once, and the seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evalsuite.images.features.extract import Features
from evalsuite.images.features.extractors import colour_structure
from evalsuite.use.comparison import Comparison
from evalsuite.use.diversity import diversity


def features(name: str, values: np.ndarray, clusters: np.ndarray | None = None) -> Features:
    """Of images of two classes in turn."""
    frame = pd.DataFrame({"id": [f"{name}-{i}" for i in range(len(values))], "class": ["a", "b"] * (len(values) // 2)})
    frame = frame.assign(cluster=clusters, parent=None)
    return Features(values.astype(np.float32), frame, colour_structure())


def normal(seed: int, n: int = 80, scale: float = 1.0) -> np.ndarray:
    """Of two classes that lie apart."""
    apart = 10 * (np.arange(n) % 2)[:, None]
    return np.random.default_rng(seed).normal(size=(n, 3)) * scale + apart * np.array([1.0, 0, 0])


def found(real: Features, teacher: Features, student: Features, **how: int) -> dict[tuple[str, str], Comparison]:
    return {(row.measure, row.cell): row for row in diversity(real, teacher, student, draws=50, **how)}


def test_a_class_that_is_narrower_is_found_in_its_rows() -> None:
    values = normal(2)
    values[1::2] = values[1::2].mean(axis=0) + 0.05 * (values[1::2] - values[1::2].mean(axis=0))
    rows = found(features("r", normal(0)), features("t", normal(1)), features("s", values))
    assert {cell for _, cell in rows} == {"all", "a", "b"}
    assert rows["recall_class", "b"].value < 0.3
    assert rows["recall_class", "b"].bounds(0.9)[1] < 0.9
    assert rows["vendi_class", "b"].value < 0.9
    assert rows["recall_class", "a"].value > 0.8
    assert rows["recall", "all"].n == 80
    assert rows["recall_class", "a"].n == 40
    assert rows["recall", "all"].teacher > rows["recall", "all"].student


def test_real_images_of_one_patient_count_as_one() -> None:
    """All are recalled on both sides, which shows less where 23 patients have three images each."""
    real = np.repeat(normal(0, 46)[::2], 3, axis=0)[:68] * 0.1
    wide = normal(1, 80)[::2].repeat(2, axis=0) * 3
    patients = np.array([f"p{i // 3}" for i in range(len(real))])
    sides = features("t", wide), features("s", wide[::-1].copy())
    low = {
        kind: found(features("r", real, of), *sides)["recall", "all"].bounds(0.9)[0]
        for kind, of in (("images", None), ("patients", patients))
    }
    rows = found(features("r", real, patients), *sides)
    assert (rows["recall", "all"].teacher, rows["recall", "all"].student) == (1, 1)
    assert low["patients"] < 0.92 < 0.96 < low["images"]


def test_few_families_of_real_images_give_no_interval() -> None:
    patients = np.array([f"p{i % 19}" for i in range(80)])
    rows = found(features("r", normal(0), patients), features("t", normal(1)), features("s", normal(2)))
    assert all("19 images of different sources" in row.lacking for (_, cell), row in rows.items() if cell == "all")


def test_the_seed_decides_the_half_samples_and_which_of_many_images() -> None:
    sides = features("r", normal(0)), features("t", normal(1)), features("s", normal(2))
    one, again, other, fewer = (
        found(*sides, seed=seed, max_n=most)["vendi", "all"] for seed, most in ((0, 80), (0, 80), (1, 80), (0, 60))
    )
    assert one.bounds(0.9) == again.bounds(0.9) != other.bounds(0.9)
    assert one.value == other.value
    assert fewer.n == 60


def test_a_student_that_is_its_teacher_keeps_all() -> None:
    teacher = features("t", normal(1))
    rows = found(features("r", normal(0)), teacher, teacher)
    assert all(row.value == 1 for row in rows.values())
    assert rows["vendi", "all"].bounds(0.9) == pytest.approx((1, 1))
