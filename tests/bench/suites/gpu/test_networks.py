"""Random networks of public shapes: the arithmetic of the real ones, and the same engine from every process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from bench.suites.gpu.networks import SHAPES, flops_of, make_engine, spec_of
from bench.suites.gpu.results import Job
from gen.diffusion.denoising_loop import DenoisingLoop


def test_a_row_of_sd15_is_the_published_arithmetic() -> None:
    """803.3 GFLOP with both attention products, from which the bars are reckoned."""
    assert flops_of(SHAPES["sd15"]).unet == pytest.approx(803.3e9, rel=1e-3)
    assert (spec_of(SHAPES["sd15"]).size, spec_of(SHAPES["sd15"]).latent_size) == (512, 64)


def test_every_process_makes_the_same_engine(tmp_path: Path) -> None:
    """Else images of two processes would differ for another reason than the one that is looked for."""
    job = Job(out=tmp_path, scratch=tmp_path, shapes="tiny", rehearsal=True, begun=time.time())
    outs = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        engine = make_engine(job, "default", folder)
        loop = DenoisingLoop(engine)
        loop.slots.state.x.fill_(0.5)
        rows, places, timesteps, settings = loop.slots.idle()
        loop.slots.run(*map(loop.slots.upload, (rows, places, timesteps + 500, settings)))
        outs.append((loop.slots.outputs[-1], engine.decode(torch.zeros(2, 4, 8, 8)), engine.encode_text(["a", ""])))
    (latents, images, text), (others, other_images, other_text) = outs
    assert torch.equal(latents, others)
    assert latents.std() > 0
    assert torch.equal(images, other_images)
    assert torch.equal(text["text"], other_text["text"])
