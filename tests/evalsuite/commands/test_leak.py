"""`evalsuite leak` shows the pairs and ends with status 1 when a split leaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from image_helpers import phantoms
from PIL import Image

from dermforge.common.errors import CheckFailed
from evalsuite.commands.leak import leak


def test_a_leak_is_shown_and_fails(tmp_path: Path) -> None:
    """Picture 3 of train lies in test too, under another name."""
    for split, images in {"train": phantoms(30, 0), "test": [*phantoms(8, 10_000), phantoms(4, 0)[3]]}.items():
        folder = tmp_path / "data" / split / "spot"
        folder.mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image).save(folder / f"{split}{i}.png")
    with pytest.raises(CheckFailed, match="the split leaks: 1 pairs"):
        leak(tmp_path / "data", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "leak.json").read_text())
    assert [(row["split"], row["leaked"], row["n"]) for row in found["splits"]] == [("test", 1, 9)]
    assert "test8" in found["pairs"][0]["id"]
    assert "train3" in found["pairs"][0]["other"]
    assert (tmp_path / "out" / "report.html").read_text().count("<img") == 2
    for file in (tmp_path / "data" / "test" / "spot").glob("test8.png"):
        file.unlink()
    leak(tmp_path / "data", tmp_path / "out")  # a split without leaks ends well
