"""What follows from several steps of a GPU run: shares of ceilings and speed-ups, with the bars that can be met."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measure.record import Measurement, higher
from bench.suites.gpu.summary import read_run, shares, speedups
from dermforge.common.errors import UserError


def images(name: str, rate: float, steps: int = 50, **details: int) -> Measurement:
    return higher(f"images/{name}/{steps} steps", "images/s", [rate], {"steps": steps, **details})


def test_a_share_is_of_the_ceiling_of_the_same_precision() -> None:
    """0.803 TFLOP a row: 490 rows a second are half of 787 TFLOP/s."""
    ceilings = [higher("matmul/fp16", "TFLOP/s", [787.0]), higher("matmul/fp32", "TFLOP/s", [50.0])]
    arithmetic = higher("arithmetic/ours", "TFLOP/s", [490 * 0.803], {"precision": "fp16"})
    (share,) = shares([*ceilings, arithmetic])
    assert share.name == "share/ours"
    assert share.median == pytest.approx(0.5, abs=1e-3)
    assert share.details == {"ceiling TFLOP/s": 787.0, "bar": 0.65}
    assert shares([arithmetic]) == []  # the step of the ceilings was lost


def test_only_the_compiled_peer_has_a_bar() -> None:
    """Its best batch counts. A multiple of the plain one's rate may lie above what the hardware can do."""
    found = speedups(
        [
            images("ours", 6.0),
            images("ours", 14.0, steps=20),
            images("diffusers", 3.0, batch=16),
            images("diffusers compiled, batch 16", 4.0, batch=16),
            images("diffusers compiled, batch 32", 5.0, batch=32),
            images("ours autotuned", 7.0),
        ]
    )
    assert {m.name: (m.median, m.details.get("bar"), m.details["its batch"]) for m in found} == {
        "speedup/ours over diffusers": (2.0, None, 16),
        "speedup/ours over diffusers compiled": (1.2, 1.3, 32),
        "speedup/ours autotuned over diffusers": (7 / 3, None, 16),
        "speedup/ours autotuned over diffusers compiled": (1.4, 1.3, 32),
    }


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no gpu\.jsonl in .*bench gpu"):
        read_run(tmp_path)
