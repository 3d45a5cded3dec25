"""The peer synderm: only the version that the patches are for, and it runs here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from bench.peers import synderm
from bench.peers.pipelines import PeerModel, diffusers_pipeline
from bench.peers.workload import Workload
from dermforge.common.errors import UserError


def test_another_version_of_the_peer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its source is patched by its words: one that lacks them would not be what the report says it is."""
    folder = tmp_path / "synderm" / "generation"
    folder.mkdir(parents=True)
    for file in (tmp_path / "synderm" / "__init__.py", folder / "util.py", folder / "generate.py"):
        file.write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(UserError, match=r"expected synderm 0\.1\.4"):
        synderm.loop(None, Workload([], torch.empty(0), 1, 3.0), 1)


@pytest.mark.slow
def test_the_published_package_runs_on_this_machine(random_pipeline: Path, tmp_path: Path) -> None:
    """PyPI synderm 0.1.4 with the patches that its module names: an image file for each image of the workload."""
    pytest.importorskip("synderm")
    model = PeerModel(random_pipeline, torch.device("cpu"), "fp32")
    given = Workload([None] * 6, torch.empty(0), 2, 3.0)  # type: ignore[list-item]
    synderm.loop(diffusers_pipeline(model), given, 2)(tmp_path)
    images = list((tmp_path / "text-to-image").rglob("*.png"))
    assert len(images) == 6
    assert {Image.open(path).size for path in images} == {(64, 64)}
    assert not torch.is_inference_mode_enabled()
