"""`evalsuite tone` writes a row for each image."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.commands.tone import tone
from gen.phantoms import draw


def test_tone_writes_a_row_an_image(sets: dict[str, Path], tmp_path: Path) -> None:
    tone(sets["synthetic"], tmp_path, sets["validation"], "del-bino", True)
    table = pd.read_parquet(tmp_path / "tone.parquet")
    assert len(table) == 72
    assert (table["steps_off"] == 0).mean() > 0.9


def test_bad_input_is_one_line(sets: dict[str, Path], tmp_path: Path) -> None:
    for data, cuts in ((tmp_path / "nowhere", "del-bino"), (sets["synthetic"], "unknown")):
        with pytest.raises(UserError, match=r"^[^\n]+$"):
            tone(data, tmp_path, None, cuts, True)


def test_tone_needs_no_classes(tmp_path: Path) -> None:
    """Names of files and skin types are enough."""
    (tmp_path / "photos").mkdir()
    rows = ["file,fst"]
    for i in range(12):
        name = TONE_GROUPS[i % 6]
        Image.fromarray(draw("plaque", name, i).image).save(tmp_path / "photos" / f"{i}.png")
        rows.append(f"{i}.png,{name}")
    (tmp_path / "photos" / "photos.csv").write_text("\n".join(rows))
    tone(tmp_path / "photos", tmp_path / "out", None, "del-bino", True)
    table = pd.read_parquet(tmp_path / "out" / "tone.parquet")
    assert table.groupby("group").size().to_dict() == dict.fromkeys(TONE_GROUPS, 2)
    assert (table["steps_off"] == 0).mean() > 0.9
