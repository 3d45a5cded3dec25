"""Small shards of noise, which are faster to make than phantoms."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shards_helpers import CLASSES, items, picture

from dermforge.common import console
from shards import Provenance, Sample, ShardSetWriter
from shards.cli import PROGRAM
from shards.format.images import encode_image


@pytest.fixture(scope="session")
def make_shards(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write n samples to a new folder; options as `items`."""

    def make(n: int, shard_size: int = 5, name: str = "set", folder: Path | None = None, **more: Any) -> Path:
        folder = folder or tmp_path_factory.mktemp("shards")
        with ShardSetWriter(folder, name, classes=CLASSES, shard_size=shard_size) as writer:
            for item in items(n, **more):
                writer.add(*item)
        return folder

    return make


@pytest.fixture
def shards(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run a command; exit status, stdout, stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["shards", *map(str, words)])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        with pytest.raises(SystemExit) as done:
            console.run(PROGRAM.app())
        captured = capsys.readouterr()
        return int(done.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """40 photos of 20 patients, an exact copy, a recompressed copy, a truncated file and a missing one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = [("file", "diagnosis", "fitzpatrick", "patient_id", "sex")]
    for i in range(40):
        (folder / f"p{i:02d}.png").write_bytes(encode_image(picture(i)))
        rows.append((f"p{i:02d}.png", "ab"[i % 2], str(1 + i % 3), f"pat{i // 2}", "f"))
    (folder / "copy.png").write_bytes((folder / "p00.png").read_bytes())
    (folder / "near.jpg").write_bytes(encode_image(picture(3), "jpg", 80))
    (folder / "torn.png").write_bytes((folder / "p01.png").read_bytes()[:200])
    rows += [
        ("copy.png", "a", "1", "x1", ""),
        ("near.jpg", "b", "1", "x2", "m"),
        ("torn.png", "a", "1", "x3", ""),
        ("lost.png", "a", "1", "x4", ""),
    ]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture
def shard_set(tmp_path: Path) -> Path:
    """Seven synthetic images of two classes in three shards."""
    folder = tmp_path / "lesions"
    made_by = Provenance(model_digest="a" * 64, lineage=("real-1", "real-2"))
    classes = ("macule", "plaque")
    with ShardSetWriter(folder, "demo", classes=classes, shard_size=3, provenance=made_by) as writer:
        for i in range(7):
            image = np.full((8, 8, 3), i * 30, np.uint8)
            sample = Sample(
                id=f"s{i}",
                origin="synthetic",
                label=("macule", "plaque")[i % 2],
                group=("dark", None)[i == 6],
                prompt="An image of a macule",
                steps=20,
                seed=i,
            )
            writer.add(sample, encode_image(image, "png"), "png")
    return folder
