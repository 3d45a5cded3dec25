"""Planted leaks are found and named; clean data pass."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common import id_ranges
from dermforge.common.errors import UserError
from evalsuite.training.data import lineage_guard
from gen.phantoms.dataset import phantom_id
from shards import ImageSet
from shards.mixing.tensors import TensorSet


def random_images(name: str, n: int = 6, seed: int = 0) -> TensorSet:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"id": [f"{name}-{i:03d}" for i in range(n)], "class": ["a", "b"] * (n // 2)})
    values = torch.from_numpy(rng.integers(0, 256, (n, 3, 32, 32)).astype(np.uint8))
    return TensorSet([ImageSet(rows, ["a", "b"])]).with_values(values)


TRAIN, VALIDATION, TEST = (random_images(name, seed=seed) for seed, name in enumerate(("train", "val", "test"), 1))
HELD_OUT = {"validation": VALIDATION, "test": TEST}


def test_a_generator_tuned_on_test_images_is_refused_with_their_ids() -> None:
    """The most common leak, and it must be named so that it can be mended."""
    leaks = lineage_guard.held_out_leaks(["test-[001-002]", "val-004", "train-000"], [], HELD_OUT)
    with pytest.raises(UserError, match=r"val-004.*test-001, test-002.*allow_leakage"):
        lineage_guard.refuse(leaks, allow=False)
    assert len(lineage_guard.refuse(leaks, allow=True)) == 2


def test_synthetic_images_made_from_test_images_are_refused() -> None:
    """Inpainting keeps three quarters of its parent."""
    leaks = lineage_guard.held_out_leaks([], {"test-003", "train-001"}, HELD_OUT)
    assert [leak.ids for leak in leaks] == [("test-003",)]


def test_a_near_duplicate_of_what_the_generator_saw_is_found() -> None:
    """The same photograph under another id, coded again; other photographs are not taken for it."""
    noise = np.random.default_rng(0).integers(-3, 4, (1, 3, 32, 32))
    copy = (next(TRAIN.take([2]).batches(1)).numpy().astype(int) + noise).clip(0, 255).astype(np.uint8)
    values = next(TEST.batches(6)).clone()
    values[4] = torch.from_numpy(copy[0])
    leaky = TEST.with_values(values)
    leaks = lineage_guard.held_out_leaks(["train-002"], [], {"validation": VALIDATION, "test": leaky}, TRAIN)
    assert [leak.ids for leak in leaks] == [("test-004 ~ train-002",)]
    made_from = lineage_guard.held_out_leaks(
        [], ["train-002"], {"validation": VALIDATION, "test": leaky}, TRAIN
    )  # a parent is seen too
    assert [leak.ids for leak in made_from] == [("test-004 ~ train-002",)]
    assert lineage_guard.held_out_leaks(["train-002"], [], HELD_OUT, TRAIN) == []
    assert lineage_guard.held_out_leaks(["train-005"], [], {"validation": VALIDATION, "test": leaky}, TRAIN) == []


def test_an_arm_may_not_use_a_generator_that_saw_more_images() -> None:
    """The published code's leak: 16 real images, and a generator tuned on all 228."""
    arm = ["train-000", "train-001"]
    assert lineage_guard.arm_leaks(arm, arm, phantoms=False) == ([], None)
    leaks, note = lineage_guard.arm_leaks(["train-[000-005]"], arm, phantoms=False)
    assert note is None
    assert "4 real images that are not among the 2" in leaks[0].what
    assert leaks[0].ids == ("train-002", "train-003", "train-004", "train-005")
    assert lineage_guard.own_set_leak(["train-[000-005]"], arm, TRAIN.rows["id"].tolist())[0].ids == (
        "train-002",
        "train-003",
        "train-004",
        "train-005",
    )
    assert lineage_guard.own_set_leak(arm, arm, TRAIN.rows["id"].tolist()) == []


def test_other_phantoms_in_the_lineage_are_said_not_refused() -> None:
    """The built-in generator stands for a pretrained base; the reader must know that it saw more."""
    leaks, note = lineage_guard.arm_leaks(["phantom-[000-099]-a"], ["phantom-500-a"], phantoms=True)
    assert leaks == []
    assert note is not None
    assert "100 phantoms" in note


def test_a_built_in_model_tuned_on_photographs_may_be_used_with_these_photographs() -> None:
    """Its own phantoms count as pretraining; a photograph that the arm lacks is named, and no phantom is."""
    lineage = [phantom_id("plaque", "dark", 7), "phantom-[0000000000-0000000099]-ulcer-tan", "img-1", "img-2"]
    leaks, note = lineage_guard.arm_leaks(lineage, ["img-1", "img-2"], phantoms=False)
    assert leaks == []
    assert note is not None
    assert "101 drawn phantoms" in note
    leaks, _ = lineage_guard.arm_leaks(lineage, ["img-2"], phantoms=False)
    assert leaks[0].ids == ("img-1",)


@given(
    low=st.integers(0, 50), n=st.integers(1, 30), single=st.sets(st.integers(0, 99)), arm=st.sets(st.integers(0, 99))
)
def test_a_refusal_names_exactly_the_images_that_the_arm_lacks(
    low: int, n: int, single: set[int], arm: set[int]
) -> None:
    """Whatever a lineage writes as ranges, and however often it names an image."""
    seen = single | set(range(low, low + n))
    lineage = [f"img-[{low:03d}-{low + n - 1:03d}]", *(f"img-{i:03d}" for i in single)]
    leaks, _ = lineage_guard.arm_leaks(lineage, [f"img-{i:03d}" for i in arm], phantoms=False)
    assert {i for leak in leaks for i in leak.ids} == {f"img-{i:03d}" for i in seen - arm}


def test_a_generator_with_an_adapter_of_unknown_images_is_never_clean() -> None:
    """Any image may be among those that nobody recorded, whatever else the lineage names."""
    for known in ([], ["train-000"], ["phantom-[0-9]-plaque"]):
        lineage = [*known, id_ranges.unrecorded("derm.safetensors")]
        leaks = lineage_guard.held_out_leaks(lineage, [], HELD_OUT)
        assert "derm.safetensors" in leaks[0].what
        for phantoms in (True, False):
            found, note = lineage_guard.arm_leaks(lineage, ["train-000"], phantoms)
            assert found == leaks[:1]
            assert note is None
        assert id_ranges.count(lineage) == id_ranges.count(known)
