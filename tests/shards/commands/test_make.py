"""`shards make`: its options reach the library, and its summary adds up."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from shards_helpers import picture

from shards import ShardSet
from shards.format.images import encode_image


def test_make_reports_what_it_wrote_and_dropped(
    photos: Path, tmp_path: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    words = ("make", photos, "--out", tmp_path / "out", "--size", 32, "--format", "jpg", "--split", "1,0,1", "--json")
    status, out, _ = shards(*words)
    made = json.loads(out)
    assert (status, len(made["dropped"]), made["clusters"]) == (0, 3, 20)
    assert sum(made["written"].values()) == 41
    assert set(made["written"]) == {"train", "test"}
    data = ShardSet.open(tmp_path / "out" / "train")
    assert data.row(0).ext == "jpg"
    assert min(data.image_at(0)[1].shape[:2]) == 32


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    """100 photographs of as many patients, of four classes and six skin types."""
    folder = tmp_path / "hundred"
    folder.mkdir()
    rows = ["file,class,fst"]
    for i in range(100):
        (folder / f"p{i:02d}.png").write_bytes(encode_image(picture(i)))
        rows.append(f"p{i:02d}.png,c{i % 4},{1 + i % 6}")
    (folder / "photos.csv").write_text("\n".join(rows))
    return folder


def test_what_the_numbers_allow_is_said_at_once(
    hundred: Path, tmp_path: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    """With a split that lets every command run; and run with it, nothing is left to propose."""
    _, out, _ = shards("make", hundred, "--out", tmp_path / "out")
    assert "evalsuite filter: no, 10 validation images; 20 are the least" in out
    assert "make a new folder with it, before a generator is tuned" in out
    found = re.search(r"--split (\S+) lets every command run", out)
    assert found
    now = re.search(r"study: yes, up to (\d+) real", out)
    assert now
    left = re.search(r"it leaves a study up to (\d+) real images per class, and not (\d+)", out)
    assert left
    assert int(left[1]) < int(left[2]) == int(now[1])
    _, out, _ = shards("make", hundred, "--out", tmp_path / "again", "--split", found[1])
    assert "evalsuite filter: yes" in out
    assert "evalsuite privacy: yes" in out
    assert "--split" not in out
    assert re.search(r"verdicts for every skin type need about \d{3} images", out)


def test_splits_that_the_data_name_are_not_proposed_anew(
    hundred: Path, tmp_path: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    """--split would not change them."""
    lines = (hundred / "photos.csv").read_text().split()
    split = [("validation", "test", *["train"] * 8)[i % 10] for i in range(100)]
    (hundred / "photos.csv").write_text("\n".join(f"{a},{b}" for a, b in zip(lines, ["split", *split], strict=True)))
    _, out, _ = shards("make", hundred, "--out", tmp_path / "out")
    assert "10 validation images; 20 are the least" in out
    assert "--split" not in out
    assert "change them before a generator is tuned" in out


def test_what_the_numbers_allow_is_in_the_json(
    hundred: Path, tmp_path: Path, shards: Callable[..., tuple[int, str, str]]
) -> None:
    made = json.loads(shards("make", hundred, "--out", tmp_path / "out", "--json")[1])
    assert made["allows"]["filter"] is False
    assert made["proposal"]["allows"]["ends"] is True
