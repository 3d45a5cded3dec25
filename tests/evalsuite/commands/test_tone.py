"""`evalsuite tone` writes a row for each image."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dermforge.common.errors import UserError
from evalsuite.commands.tone import tone


def test_tone_writes_a_row_an_image(sets: dict[str, Path], tmp_path: Path) -> None:
    tone(sets["synthetic"], tmp_path, sets["validation"], "del-bino", True)
    table = pd.read_parquet(tmp_path / "tone.parquet")
    assert len(table) == 72
    assert (table["steps_off"] == 0).mean() > 0.9


def test_bad_input_is_one_line(sets: dict[str, Path], tmp_path: Path) -> None:
    for data, cuts in ((tmp_path / "nowhere", "del-bino"), (sets["synthetic"], "unknown")):
        with pytest.raises(UserError, match=r"^[^\n]+$"):
            tone(data, tmp_path, None, cuts, True)
