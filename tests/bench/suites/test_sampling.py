"""The sampler and plain loops generate the same images from the same plan rows, and write them to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.peers.pipelines import PeerModel
from bench.peers.workload import workload
from bench.suites.sampling import Ours, peer
from engines.engine import Engine
from engines.psnr import psnr
from shards.format.reader import ShardSet


def test_shards_and_loose_files_hold_the_same_images(engine: Engine, random_pipeline: Path, tmp_path: Path) -> None:
    """Both do the whole job: else the faster one might only have done less."""
    given = workload(engine.spec, 5, steps=3, guidance=3.0)
    ours = Ours(engine, given, tmp_path / "ours")
    ours()
    model = PeerModel(random_pipeline, torch.device("cpu"), "fp32")
    peer("diffusers", model, given, 2, tmp_path / "theirs")()
    mine = {s.id: pixels for s, pixels in ShardSet.open(tmp_path / "ours").images()}
    theirs = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "theirs").glob("*.png"))]
    assert len(theirs) == len(mine) == 5
    assert psnr(np.stack([mine[row.id] for row in given.rows]), np.stack(theirs)) > 45
    assert ours.summaries[0].forwards_per_image == 6
