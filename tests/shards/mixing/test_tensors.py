"""Image sets as tensors: the pixels of the images, decoded once where they fit, by any view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shards import ShardSet
from shards.mixing import tensors
from shards.mixing.tensors import TensorSet, ahead, square

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def sets(make_shards: Make) -> list[ShardSet]:
    return [ShardSet.open(make_shards(n, prefix=p, size=16)) for n, p in ((7, "a"), (5, "b"))]


def pixels(sets: list[ShardSet], ids: list[str], size: int) -> torch.Tensor:
    """What each image must be, read by itself."""
    found = [one.image_at(one.position(i))[1] for i in ids for one in sets if i in set(one.rows["id"])]
    return torch.stack([torch.from_numpy(np.array(square(image, size))).permute(2, 0, 1) for image in found])


@pytest.mark.parametrize("keep", [True, False])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_views_give_the_images_of_their_rows(sets: list[ShardSet], keep: bool, data: st.DataObject) -> None:
    """Any subset of any subset of several sets, repeats included, kept in memory or read again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensors, "KEEP_BYTES", tensors.KEEP_BYTES if keep else 0)
        whole = TensorSet(sets, 8)
    few = whole.take(data.draw(st.lists(st.integers(0, 11), min_size=1, max_size=20)))
    fewer = few.take(data.draw(st.lists(st.integers(0, few.n - 1), min_size=1, max_size=9)))
    for view in (fewer, few, whole):
        batches = list(view.batches(4))
        assert [len(b) for b in batches[:-1]] == [4] * (len(batches) - 1)
        assert torch.equal(torch.cat(batches), pixels(sets, view.rows["id"].tolist(), 8))


def test_an_image_that_fits_is_decoded_once(sets: list[ShardSet], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for views that were taken before, and arms that come later."""
    read: list[int] = []
    plain = ShardSet.image_at

    def counted(self: ShardSet, at: int, verify: bool) -> Any:
        read.append(at)
        return plain(self, at, verify)

    monkeypatch.setattr(ShardSet, "image_at", counted)
    whole = TensorSet(sets, 8)
    view = whole.where(ids=["a-0001", "b-0002"])
    for one in (view, whole, view, whole):
        list(one.batches(3))
    assert len(read) == whole.n


def test_values_stand_in_for_pixels(sets: list[ShardSet]) -> None:
    """Features go through views as images do."""
    values = torch.arange(24.0).reshape(12, 2)
    made = TensorSet(sets, 8).with_values(values)
    assert made.holds_features
    assert not TensorSet(sets, 8).holds_features
    assert torch.equal(next(made.take([3, 9]).batches(8)), values[[3, 9]])


def test_jobs_are_started_ahead_and_an_error_arrives_in_order() -> None:
    """A reader that stops early waits for nothing; what a job raises is raised where its result would come."""
    started: list[int] = []

    def start(job: int, pool: object) -> Callable[[], int]:
        started.append(job)
        return lambda: 12 // job

    results: Any = ahead([3, 2, 1, 4], start, steps=2)
    assert next(results) == 4
    assert started == [3, 2, 1]
    results.close()
    failing = ahead([3, 0, 1], start)
    assert next(failing) == 4
    with pytest.raises(ZeroDivisionError):
        next(failing)


def test_images_are_cut_square_before_they_are_resized() -> None:
    """Squeezing a landscape photograph would change every lesion's shape."""
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 10:30] = 255
    assert square(image, 10).min() == 255
