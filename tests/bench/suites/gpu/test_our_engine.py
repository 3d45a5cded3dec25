"""What is timed as a step: the work of real images, not of zeros."""

from __future__ import annotations

import torch

from bench.suites.gpu.our_engine import Prepared
from engines.engine import Engine
from gen.diffusion.denoising_loop import DenoisingLoop


def test_a_timed_step_sees_noise_and_changes_no_image(engine: Engine) -> None:
    """Zeros, or equal rows, would run faster than images do."""
    loop = DenoisingLoop(engine)
    step = Prepared("ours", engine, loop).step()
    before = [value.clone() for value in (loop.slots.state.x, loop.slots.state.base)]
    step()
    rows = loop.slots.outputs[: engine.rows].flatten(1)
    assert float(rows.std()) > 0
    assert len(torch.unique(rows, dim=0)) == engine.rows
    assert float(loop.slots.state.x.std()) > 0.5
    assert all(map(torch.equal, (loop.slots.state.x, loop.slots.state.base), before))
