"""The tables of the image measures are those that the commands write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import dermforge
from evalsuite.cli import PROGRAM

Run = Callable[..., tuple[Path, str]]


@pytest.fixture
def run(workplace: Path, tmp_path: Path) -> Run:
    """Run a command on sets of the demo; its output folder and its verdict."""

    def invoke(command: str, *words: str) -> tuple[Path, str]:
        done = CliRunner().invoke(PROGRAM.app([command]), [command, *words, "--out", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return tmp_path, json.loads((tmp_path / f"{command}.json").read_text())["verdict"]

    return invoke


def test_tone(workplace: Path, run: Run) -> None:
    shards = workplace / "demo" / "shards"
    out, verdict = run("tone", str(shards))
    table = dermforge.tone(shards)
    pd.testing.assert_frame_equal(table, pd.read_parquet(out / "tone.parquet"), check_dtype=False)
    assert table.attrs["verdict"] == verdict


def test_quality(workplace: Path, run: Run) -> None:
    test, shards = workplace / "demo" / "phantoms" / "test", workplace / "demo" / "shards"
    out, verdict = run("quality", str(test), str(shards), "--extractor", "colour-structure", "--resamples", "10")
    table = dermforge.quality(test, shards, extractors=["colour-structure"], resamples=10)
    pd.testing.assert_frame_equal(table, pd.read_parquet(out / "quality.parquet"), check_dtype=False)
    assert table.attrs["verdict"] == verdict


def test_privacy(workplace: Path, run: Run) -> None:
    train, test = (workplace / "demo" / "phantoms" / name for name in ("train", "test"))
    shards = workplace / "demo" / "shards"
    out, verdict = run("privacy", str(train), str(shards), "--test", str(test), "--false-alarms", "0.1")
    table = dermforge.privacy(train, dermforge.open_shards(shards), test=test, false_alarms=0.1)
    pd.testing.assert_frame_equal(table, pd.read_parquet(out / "privacy.parquet"), check_dtype=False)
    assert table.attrs["verdict"] == verdict


def test_arrays_are_images_too(workplace: Path) -> None:
    images = dermforge.open_shards(workplace / "demo" / "phantoms" / "test")
    table = dermforge.tone(images.image_at(0)[1][None])
    assert len(table) == 1
    assert abs(table["ita"].iloc[0]) < 90
