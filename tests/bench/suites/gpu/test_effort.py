"""How many images a timed run has: as many as fit, by a trial, and never more than were asked for."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from bench.suites.gpu.effort import FULL, TINY, images_that_fit

CPU = torch.device("cpu")


@pytest.mark.parametrize(("each", "least", "most"), [(0.0, 63, 63), (0.05, 3, 15), (1.0, 3, 3)])
def test_the_number_of_images_follows_a_trial(each: float, least: int, most: int) -> None:
    """Full batches of 3 in 0.8 seconds for each of two runs: at 0.05 s an image at most 15, else fewer."""
    how = replace(FULL, room=1.6, repeats=2, images=64)
    tried: list[int] = []

    def once(n: int) -> None:
        tried.append(n)
        time.sleep(n * each)

    found = images_that_fit(once, 3, how, CPU)
    assert least <= found <= most
    assert found % 3 == 0
    assert tried == [3]


def test_a_rehearsal_takes_fewer_steps_and_at_least_one() -> None:
    assert (FULL.steps(50), TINY.steps(50), TINY.steps(10)) == (50, 2, 1)
