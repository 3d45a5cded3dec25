"""`evalsuite privacy` quarantines copies, and `shards select` obeys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dermforge.common.errors import CheckFailed, UserError
from evalsuite.commands.privacy import privacy
from shards import ShardSet
from shards.commands.change import select


def test_privacy_quarantines_and_fails_when_asked(sets: dict[str, Path], tmp_path: Path) -> None:
    """The synthetic set is the training set itself: everything is a copy."""
    with pytest.raises(CheckFailed, match="72 synthetic"):
        privacy(
            sets["train"], sets["train"], sets["validation"], tmp_path, control=2, fail_on_copies=True, as_json=True
        )
    assert len((tmp_path / "quarantine.txt").read_text().split()) == 72
    found = json.loads((tmp_path / "privacy.json").read_text())
    assert [row["found"] for row in found["control"]][1:4] == [2, 2, 2]  # each kind
    assert found["false_alarms_measured"]["n"] == 72


def test_a_quarantine_is_obeyed_by_select(sets: dict[str, Path], tmp_path: Path) -> None:
    """What the audit names is gone from the next set."""
    privacy(sets["train"], sets["train"], sets["validation"], tmp_path / "audit", control=1, as_json=True)
    copies = (tmp_path / "audit" / "quarantine.txt").read_text().split()
    (tmp_path / "quarantine.txt").write_text("\n".join(copies[:70]))
    select(str(sets["train"]), str(tmp_path / "kept"), quarantine=tmp_path / "quarantine.txt")
    assert sorted(ShardSet.open(tmp_path / "kept").rows["id"]) == sorted(copies)[70:]


def test_a_table_of_features_is_refused_before_an_image_is_read(tmp_path: Path) -> None:
    """Even a complete one: it does not know the copies that the audit plants."""
    (tmp_path / "table.csv").write_text("id,f0,f1\na,1,2\n")
    nowhere, spec = tmp_path / "nowhere", f"features:{tmp_path / 'table.csv'}"
    with pytest.raises(UserError, match=r"table.* is a table of features; privacy plants copies of its own"):
        privacy(nowhere, nowhere, nowhere, tmp_path / "out", extractor=[spec])
