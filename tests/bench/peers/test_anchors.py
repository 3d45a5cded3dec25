"""Published throughputs: their arithmetic, and what prevents a comparison with ours."""

from __future__ import annotations

import pytest

from bench.peers.anchors import ANCHORS, Anchor, not_comparable


def test_implied_tflops_are_those_of_the_published_rates() -> None:
    """Images a second times 82.84, 42.68 or 34.65 TFLOP (50, 25 and 20 guided steps of SD 1.5 at 512 px)."""
    tera = {50: 82.84, 25: 42.68, 20: 34.65}
    for anchor in ANCHORS:
        if anchor.model == "SD 1.5 512" and anchor.caveat != "UNet only":
            assert anchor.tflops == pytest.approx(anchor.images_per_second * tera[anchor.steps], rel=0.01)


def test_what_cannot_be_compared_is_said() -> None:
    """Another device, model, number of steps or batch is named; the same setting is comparable."""
    mine = Anchor("ours", "NVIDIA H100 80GB HBM3", "SD 1.5 512", 50, 1, 5.0, 414)
    same, other = ANCHORS[0], next(a for a in ANCHORS if "MLPerf" in a.who and a.device == "H200")
    assert not_comparable(same, mine) == []
    assert not_comparable(other, mine) == [
        "on H200",
        "SDXL 1024, not SD 1.5 512",
        "20 steps, not 50",
        "batch not published",
        "FP8",
    ]
