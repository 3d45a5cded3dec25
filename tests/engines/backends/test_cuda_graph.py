"""A captured function replays what it recorded, for other inputs."""

from __future__ import annotations

import pytest
import torch
from engines_helpers import gauss

from engines.backends.cuda_graph import captured


@pytest.mark.gpu
def test_a_captured_step_replays_what_it_recorded() -> None:
    """With new inputs and new coefficients: nothing stale is replayed."""
    x, scale = gauss(4, 4).cuda(), torch.tensor(2.0, device="cuda")
    step = captured(lambda a, s: a * s + 1, x, scale)
    for factor in (2.0, 5.0):
        y = torch.randn_like(x)
        torch.testing.assert_close(step(y, scale.fill_(factor)), y * factor + 1)


def test_without_cuda_a_function_stays_as_it_is() -> None:
    assert captured(torch.neg, gauss(2)) is torch.neg
