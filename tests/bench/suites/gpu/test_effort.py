"""How many images a timed run has: as many as fit, by a trial, and never more than were asked for."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from bench.suites.gpu.effort import FULL, TINY, images_that_fit

CPU = torch.device("cpu")


@pytest.mark.parametrize(("each", "least", "most"), [(0.0, 64, 64), (0.05, 1, 16), (1.0, 1, 1)])
def test_the_number_of_images_follows_a_trial(each: float, least: int, most: int) -> None:
    """0.8 seconds for each of two runs: at 0.05 seconds an image at most 16, fewer where the trial was held up."""
    how = replace(FULL, room=1.6, repeats=2, images=64)
    tried: list[int] = []

    def once(n: int) -> None:
        tried.append(n)
        time.sleep(n * each)

    assert least <= images_that_fit(once, 2, how, CPU) <= most
    assert tried == [2]


def test_a_rehearsal_takes_fewer_steps_and_at_least_one() -> None:
    assert (FULL.steps(50), TINY.steps(50), TINY.steps(10)) == (50, 2, 1)
