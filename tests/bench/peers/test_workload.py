"""The workload: an image does not depend on how many are generated, and PSNR sees another setting."""

from __future__ import annotations

import numpy as np

from bench.peers.workload import workload
from engines.engine import Engine
from engines.psnr import psnr
from gen.sampling.in_memory import sample_images


def test_agreement_sees_another_number_of_steps(engine: Engine) -> None:
    """What the table's dB are for."""
    few, more = (workload(engine.spec, 2, steps=s, guidance=3.0) for s in (2, 6))
    assert psnr(sample_images(engine, few.rows), sample_images(engine, more.rows)) < 45


def test_images_do_not_depend_on_how_many_are_drawn(engine: Engine) -> None:
    """An image of a short job is that of a long one, so sizes of benchmarks can be compared."""
    one, four = (sample_images(engine, workload(engine.spec, n, steps=2, guidance=3.0).rows) for n in (1, 4))
    assert np.abs(one[0].astype(int) - four[0].astype(int)).max() <= 1
