"""Bundles that benchmarks build are kept for the next benchmark, and opened where they are said to run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.measure.bundles import Wanted, check_modes, usual_backend
from dermforge.common.errors import UserError
from engines.bundle import read_bundle
from engines.pipeline_spec import model_digest


def test_a_bundle_is_kept_for_the_next_benchmark(random_pipeline: Path, tmp_path: Path) -> None:
    """It is built once; one of other weights under the same name is built again, not measured in their place."""
    wanted = Wanted("torch", rows=2)
    folder, took = wanted.build(random_pipeline, tmp_path)
    assert took is not None
    assert read_bundle(folder).manifest.rows == 2
    assert wanted.build(random_pipeline, tmp_path) == (folder, None)
    manifest = folder / "bundle.json"
    digest = model_digest(random_pipeline)
    manifest.write_text(manifest.read_text().replace(digest, digest[::-1]))
    assert wanted.build(random_pipeline, tmp_path)[1] is not None
    assert digest in manifest.read_text()


@pytest.mark.parametrize(
    ("backend", "device", "expected"),
    [
        ("onnxruntime", None, False),
        ("onnxruntime", "cuda", True),
        ("onnxruntime", "cpu", False),
        ("torch", None, True),
        ("torch", "cpu", False),
        ("torch", "cuda:0", True),
        ("tensorrt", None, True),
    ],
)
def test_on_a_machine_with_a_gpu_each_backend_runs_where_it_does(
    monkeypatch: pytest.MonkeyPatch, backend: str, device: str | None, expected: bool
) -> None:
    """ONNX Runtime runs on the CPU there, and must not be compared with peers on the GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Wanted(backend, device=device).on_gpu is expected
    assert usual_backend() == "torch"


def test_a_mode_of_compiling_must_be_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    torchs, other = Wanted("torch", compile_mode="default"), Wanted("tensorrt", compile_mode="default")
    check_modes([other, torchs])
    assert (torchs.mode, other.mode) == ("default", None)
    for useless in (other, Wanted("torch", compile_mode="default", device="cpu")):
        with pytest.raises(UserError, match="no engine here is one"):
            check_modes([useless])
