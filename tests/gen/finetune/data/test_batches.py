"""What a step learns from: each image once an epoch, the same however the step is shared out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gen.builtin.model import new_scheduler
from gen.finetune.data.batches import Batches, LatentSource
from gen.finetune.data.latents import CachedView, Latents
from gen.finetune.objective import Diffusion
from gen.finetune.trainer import shares

OBJECTIVE = Diffusion(new_scheduler().config)


def latents(n_views: int) -> Latents:
    def cached(image: int, view: int) -> CachedView:
        return CachedView(torch.full((4, 2, 2), float(image)), torch.zeros(4, 2, 2))

    return cast(Latents, SimpleNamespace(n_views=n_views, cached=cached))


@settings(deadline=None)
@given(n=st.integers(1, 30), batch=st.integers(1, 8), seed=st.integers(0, 99))
def test_every_epoch_sees_every_image_once(n: int, batch: int, seed: int) -> None:
    source = LatentSource("real", latents(3), np.zeros(n, dtype=np.int64))
    for epoch in range(2):
        drawn = [source.at(s, seed) for s in range(epoch * n, (epoch + 1) * n)]
        assert sorted(image for image, _ in drawn) == list(range(n))
        assert {view for _, view in drawn} == {epoch % 3}


@pytest.mark.parametrize(("processes", "micro"), [(1, 0), (1, 2), (2, 0), (4, 1), (2, 2)])
def test_a_step_is_the_same_however_it_is_shared_out(processes: int, micro: int) -> None:
    batches = Batches([LatentSource("real", latents(2), np.arange(10))], OBJECTIVE, 3, 8, 0.3, 10)
    whole = batches.part(5, range(8))
    parts = [batches.part(5, r) for p in range(processes) for r in shares(8, processes, p, micro)]
    for name, value in vars(whole).items():
        assert torch.equal(value, torch.cat([vars(part)[name] for part in parts])), name


def test_prompts_are_dropped_as_often_as_asked() -> None:
    batches = Batches([LatentSource("real", latents(1), np.zeros(10, dtype=np.int64))], OBJECTIVE, 0, 400, 0.25, 1)
    assert 0.15 < batches.part(0, range(400)).prompt.float().mean() < 0.35
