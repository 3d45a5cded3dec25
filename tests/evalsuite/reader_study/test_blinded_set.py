"""The set for readers is blind, balanced and seeded."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from reader_helpers import images

from dermforge.common.errors import UserError
from evalsuite.reader_study.blinded_set import KEY, SetDesign, make, open_study


def test_the_set_is_balanced_seeded_and_blind(folder: Path, tmp_path: Path) -> None:
    study, key = open_study(folder), pd.read_csv(folder / KEY)
    assert (key.groupby(["class", "group", "origin"]).size() == 2).all()
    assert len(key) == 16
    assert study.groups == ["light", "dark"]
    again = make(images("r", 16, 0), images("s", 12, 100), tmp_path / "again", SetDesign(64, 2, 1))
    assert pd.read_csv(tmp_path / "again" / KEY).equals(key)
    assert again == study
    shown = (folder / "study.json").read_text() + " ".join(p.name for p in (folder / "images").iterdir())
    assert not any(id in shown for id in key["id"])
    assert "real" not in {p.name for p in folder.rglob("*.png")}


def test_a_study_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(UserError, match="already holds"):
        make(images("r", 4, 0), images("s", 4, 9), folder, SetDesign(64, 1, 0))
