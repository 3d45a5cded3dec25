"""The search for a batch size stops where the machine does, and prefers the smaller of equally fast sizes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch

from engines import Bundle
from engines.compile.batch_tuning import _sweep, choose_sizes
from engines.errors import EngineError


def call_of(seconds: float) -> Callable[[], torch.Tensor]:
    def call() -> torch.Tensor:
        time.sleep(seconds)
        return torch.zeros(1)

    return call


def test_the_smallest_fast_size_is_chosen() -> None:
    """Four in the time of two is twice as fast per item; eight in three times that time is slower."""
    best, seconds = _sweep(lambda size: call_of({2: 0.02, 4: 0.02, 8: 0.06}[size]), (2, 4, 8))
    assert best == 4
    assert set(seconds) == {2, 4, 8}
    assert seconds[2] == pytest.approx(0.01, rel=0.5)


def test_a_size_that_does_not_fit_ends_the_search() -> None:
    def prepare(size: int) -> Callable[[], torch.Tensor]:
        if size > 4:
            raise EngineError("out of memory")
        return call_of(0.001)

    _, seconds = _sweep(prepare, (2, 4, 8, 16))
    assert set(seconds) == {2, 4}
    with pytest.raises(EngineError, match="out of memory"):
        _sweep(prepare, (8, 16))


def test_a_bundle_is_timed_at_each_size(bundle: Bundle) -> None:
    timings = choose_sizes(bundle, "onnxruntime", (1, 2), (1, 2))
    assert set(timings.unet_seconds_per_row) == set(timings.decode_seconds_per_image) == {1, 2}
    assert timings.rows in (1, 2)
    assert timings.vae_batch in (1, 2)
