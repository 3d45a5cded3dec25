"""Bundles that benchmarks build are kept for the next benchmark."""

from __future__ import annotations

from pathlib import Path

from bench.measure import models
from engines.pipeline_spec import model_digest


def test_a_bundle_is_kept_for_the_next_benchmark(random_pipeline: Path, tmp_path: Path) -> None:
    """It is built once; one of other weights under the same name is built again, not measured in their place."""
    folder, took = models.bundle(random_pipeline, "torch", "fp32", tmp_path)
    assert took is not None
    assert models.bundle(random_pipeline, "torch", "fp32", tmp_path) == (folder, None)
    manifest = folder / "bundle.json"
    digest = model_digest(random_pipeline)
    manifest.write_text(manifest.read_text().replace(digest, digest[::-1]))
    assert models.bundle(random_pipeline, "torch", "fp32", tmp_path)[1] is not None
    assert digest in manifest.read_text()
