"""A view and a mask: functions of seed, id and number alone, with the paper's geometry."""

from __future__ import annotations

import numpy as np
import torch

from gen.finetune.data.views import Views

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)


def test_a_view_depends_on_seed_id_and_number_alone() -> None:
    one = Views(32, 1).view(IMAGE, "a", 0)
    assert one.shape == (3, 32, 32)
    assert one.abs().max() <= 1
    assert torch.equal(one, Views(32, 1).view(IMAGE, "a", 0))
    for seed, id, number in ((2, "a", 0), (1, "b", 0), (1, "a", 1)):
        assert not torch.equal(one, Views(32, seed).view(IMAGE, id, number))


def test_a_view_is_cut_from_the_middle_square_and_flipped_half_of_the_time() -> None:
    ramp = np.zeros((40, 80, 3), dtype=np.uint8)
    ramp[:] = np.linspace(0, 255, 80).astype(np.uint8)[None, :, None]
    drawn = [Views(16, 0).view(ramp, "ramp", k) for k in range(200)]
    assert min(float(d.min()) for d in drawn) > -0.6  # the outer quarters (below -0.5, above 0.5) are cut off
    assert max(float(d.max()) for d in drawn) < 0.6
    flipped = np.mean([float(d[0, 8, 0]) > float(d[0, 8, -1]) for d in drawn])
    assert 0.4 < flipped < 0.6


def test_jitter_changes_colour_only_where_asked() -> None:
    assert not torch.equal(Views(32, 1).view(IMAGE, "a", 0), Views(32, 1, jitter=0.05).view(IMAGE, "a", 0))


def test_masks_are_both_kinds_and_all_sizes() -> None:
    areas = [Views(64, 0).mask("a", k).mean() for k in range(300)]
    assert min(areas) < 0.02
    assert max(areas) > 0.7
    assert 0.18 < np.mean(areas) < 0.27  # half of (1 + pi / 4) / 4
