"""`evalsuite quality` writes tables, JSON and a section."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from evalsuite.commands.quality import quality


def test_quality_writes_tables_json_and_section(sets: dict[str, Path], tmp_path: Path) -> None:
    real, made = sets["validation"], sets["synthetic"]
    quality(real, made, tmp_path, ["colour-structure"], resamples=10, as_json=True)
    cells = pd.read_parquet(tmp_path / "quality.parquet")
    assert "FD[colour-structure]" in set(cells["metric"])
    assert not cells["metric"].str.startswith("FID").any()
    assert pd.read_parquet(tmp_path / "images.parquet")["id"].is_unique
    assert json.loads((tmp_path / "quality.json").read_text())["size"] == 64
    assert json.loads((tmp_path / "section.json").read_text())["status"] in ("good", "warn", "bad")
