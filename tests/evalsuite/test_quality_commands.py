"""The commands run on phantom shards from end to end, and bad input ends in one line and exit status 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from evalsuite.commands.filter import filter_images
from evalsuite.commands.privacy import privacy
from evalsuite.commands.quality import quality
from evalsuite.commands.tone import tone
from gen.phantoms import CLASSES, draw
from shards import Sample, ShardSet, ShardSetWriter, encode_image
from shards.errors import CheckFailed, UserError
from shards.tone import TONE_GROUPS


def write(folder: Path, start: int, per_cell: int, origin: str) -> Path:
    """Phantom shards of every cell."""
    with ShardSetWriter(folder, "p", classes=CLASSES, fsync=False) as writer:
        for c, cls in enumerate(CLASSES):
            for g, group in enumerate(TONE_GROUPS):
                for i in range(per_cell):
                    image = encode_image(draw(cls, group, start + i).image, "png", 0)
                    sample = Sample(id=f"{origin}-{start:05d}-{c}-{g}-{i:03d}", origin=origin, label=cls, group=group,
                                    strategy="text-to-image" if origin == "synthetic" else None)
                    writer.add(sample, image, "png")
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("sets")
    return {
        "train": write(base / "train", 0, 2, "real"), "validation": write(base / "validation", 1000, 2, "real"),
        "synthetic": write(base / "synthetic", 2000, 2, "synthetic"),
    }


def test_quality_writes_tables_json_and_section(sets: dict[str, Path], tmp_path: Path) -> None:
    real, made = sets["validation"], sets["synthetic"]
    quality(real, made, tmp_path, ["colour-structure"], None, 95, None, 5000, 10, "cpu", 0, True)
    cells = pd.read_parquet(tmp_path / "quality.parquet")
    assert "FD[colour-structure]" in set(cells["metric"])
    assert not cells["metric"].str.startswith("FID").any()
    assert pd.read_parquet(tmp_path / "images.parquet")["id"].is_unique
    assert json.loads((tmp_path / "quality.json").read_text())["size"] == 64
    assert json.loads((tmp_path / "section.json").read_text())["status"] in ("good", "warn", "bad")


def test_tone_writes_a_row_an_image(sets: dict[str, Path], tmp_path: Path) -> None:
    tone(sets["synthetic"], tmp_path, sets["validation"], "del-bino", True)
    table = pd.read_parquet(tmp_path / "tone.parquet")
    assert len(table) == 72
    assert (table["steps_off"] == 0).mean() > 0.9


def test_privacy_quarantines_and_fails_when_asked(sets: dict[str, Path], tmp_path: Path) -> None:
    """The synthetic set is the training set itself: everything is a copy."""
    with pytest.raises(CheckFailed, match="72 synthetic"):
        privacy(sets["train"], sets["train"], sets["validation"], tmp_path, 0.01, None, "cpu", True, True)
    assert len((tmp_path / "quarantine.txt").read_text().split()) == 72


def test_filter_keeps_scores_in_the_sidecars(sets: dict[str, Path], tmp_path: Path) -> None:
    first = ShardSet.open(sets["synthetic"]).rows["id"].iloc[0]
    (tmp_path / "quarantine.txt").write_text(f"{first}\n")
    filter_images(sets["synthetic"], sets["train"], sets["validation"], tmp_path / "out", tmp_path / "kept", 0.1,
                  tmp_path / "quarantine.txt", "colour-structure", False, "cpu", True)
    kept = (tmp_path / "out" / "kept.txt").read_text().split()
    assert first not in kept
    shards = ShardSet.open(tmp_path / "kept")
    assert sorted(shards.rows["id"]) == kept
    assert {"recognised", "typical", "intact", "on_tone", "novel"} <= set(shards.rows["scores"].iloc[0])
    assert 0 < shards.where(min_score={"recognised": 0.5}).n <= shards.n
    sample, _ = next(shards.images())
    assert sample.scores == shards.rows["scores"].iloc[0]


def test_bad_input_is_one_line(sets: dict[str, Path], tmp_path: Path) -> None:
    for call in (
        lambda: tone(tmp_path / "nowhere", tmp_path, None, "del-bino", True),
        lambda: tone(sets["synthetic"], tmp_path, None, "unknown", True),
        lambda: filter_images(sets["synthetic"], sets["train"], sets["validation"], tmp_path, None, 0.1,
                              tmp_path / "none.txt", "colour-structure", False, "cpu", True),
    ):
        with pytest.raises(UserError) as error:
            call()
        assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["quality", "tone", "privacy", "filter", "reader-study"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = subprocess.run([sys.executable, "-m", "evalsuite.cli", command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Example" in done.stdout
