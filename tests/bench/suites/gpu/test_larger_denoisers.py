"""The denoisers of larger families, rehearsed at tiny widths on the CPU."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.measure.record import Measurement
from bench.peers.anchors import ANCHORS
from bench.suites.gpu import larger_denoisers
from bench.suites.gpu.first_run import FAMILIES
from bench.suites.gpu.results import Job, Report


class Noted(Report):
    """A report that keeps what was measured."""

    def __init__(self) -> None:
        self.found: dict[str, Measurement] = {}

    def measured(self, *found: Measurement) -> None:
        self.found |= {one.name: one for one in found}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_denoiser_is_made_and_timed(family: str, tmp_path: Path) -> None:
    job = Job(out=tmp_path, scratch=tmp_path, shapes="tiny", rehearsal=True, begun=time.time())
    report = Noted()
    prepare: partial[larger_denoisers.Denoiser] = getattr(larger_denoisers, family.replace("-", "_"))
    denoiser = prepare(job, report)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # a fused one is not counted
        (out,) = denoiser.call()
    assert counter.get_total_flops() == denoiser.rows * denoiser.flops
    assert out.shape[0] == denoiser.rows == 2
    larger_denoisers.rows_a_second(job, report, denoiser)
    assert {*report.found} == {f"{kind}/{family}" for kind in ("start", "step", "rows", "arithmetic")}
    rows, work = (report.found[f"{kind}/{family}"] for kind in ("rows", "arithmetic"))
    assert work.median == pytest.approx(rows.median * denoiser.flops / 1e12)


def test_a_row_of_sdxl_takes_as_much_arithmetic_as_the_anchors_say() -> None:
    """40 rows and a decoded image, which is a few hundredths of them."""
    (anchor,) = (one for one in ANCHORS if one.who.startswith("MLPerf v5.1, TensorRT FP8 (Quanta)"))
    image = anchor.tflops / anchor.images_per_second * 1e12
    rows = 2 * anchor.steps * larger_denoisers._flops(larger_denoisers.SHAPES["sdxl"](False))
    assert 0.94 * image < rows < image
