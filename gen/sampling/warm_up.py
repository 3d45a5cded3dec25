"""What an engine does once before its first image: compile, record, choose kernels."""

from __future__ import annotations

import torch

from engines.engine import Networks
from gen.diffusion.denoising_loop import DenoisingLoop


def warm_up(engine: Networks) -> DenoisingLoop:
    """Bring an engine to where its calls only compute; returns a loop for it, which serves one run after another.

    The decoder comes first, and nothing else runs meanwhile: in the sampler it has a thread of its own, and would be
    compiled while steps are computed. A CPU has nothing to compile or record.
    """
    if engine.device.type != "cpu":
        spec, side = engine.spec, engine.spec.latent_size
        engine.decode(torch.zeros(engine.vae_batch, spec.latent_channels, side, side, device=engine.device))
        engine.mark().wait()
    return DenoisingLoop(engine)
