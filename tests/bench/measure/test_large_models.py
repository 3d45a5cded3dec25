"""The larger public shapes: what they need is said before anything is written, and is what their weights take."""

from __future__ import annotations

from pathlib import Path

import diffusers
import pytest
import torch
import transformers

from bench.measure import large_models, models
from dermforge.common.errors import UserError
from engines.memory import EXPORT_FACTOR, LIBRARIES


@pytest.mark.parametrize(("memory", "disk"), [(24e9, 1e12), (1e12, 40e9)])
def test_flux_is_refused_in_advance(
    memory: float, disk: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.memory.available_bytes", lambda: int(memory))
    usage = type("Usage", (), {"free": int(disk)})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"flux-dev needs about 87 GB of memory and 68 GB of disk.*or measure sd35"):
        models.find("flux-dev", tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_the_needs_of_flux_are_those_of_its_weights() -> None:
    with torch.device("meta"):
        transformer = diffusers.FluxTransformer2DModel(guidance_embeds=True)
        t5 = transformers.T5EncoderModel(
            transformers.T5Config(**large_models.T5_XXL, vocab_size=32128, feed_forward_proj="gated-gelu")
        )
    weights = [sum(p.numel() for p in network.parameters()) for network in (transformer, t5)]
    assert weights[0] == pytest.approx(11.9e9, rel=0.01)
    needed = LIBRARIES + 4 * weights[0] * EXPORT_FACTOR["fp16"]
    assert large_models.NEEDS_GB["flux-dev"][0] == pytest.approx(needed / 1e9, rel=0.02)
    assert large_models.NEEDS_GB["flux-dev"][1] == pytest.approx(2 * 2 * (sum(weights) + 0.2e9) / 1e9, rel=0.02)
