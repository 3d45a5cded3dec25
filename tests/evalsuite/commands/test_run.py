"""`evalsuite run`: the main question from shards to a page, on tiny sets; and what is refused on the way."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pandas as pd
import pytest
from study_helpers import write_noisy_copies
from training_helpers import SMALL
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from evalsuite.cli import PROGRAM
from shards import ShardSet
from shards.tools.select import select

FAST = [*SMALL, "--seeds", "1", "--steps", "4", "--batch", "8", "--workers", "1"]


def invoke(*words: object) -> str:
    done = CliRunner().invoke(PROGRAM.app(), [str(w) for w in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_a_run_ends_in_a_page_tables_and_a_headline(
    phantom_shards: Path, noisy_copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that `make demo` shows: both accuracies with intervals, the worst group, the report; twice the same."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    out = tmp_path / "report"
    command = (
        "run",
        "--real",
        phantom_shards,
        "--synthetic",
        noisy_copies,
        "--out",
        out,
        "--n-real",
        6,
        "--n-boot",
        100,
        *FAST,
        "--weights",
        "auto",
    )
    printed = invoke(*command)
    assert "accuracy, real only: 0." in printed
    assert "worst group with synthetic images" in printed
    assert "no answer: not enough data (1 training run of each arm, at least 3 are needed)" in printed
    record = json.loads((out / "run.json").read_text())
    assert record["plan"]["doses"] == {"6": [0, 4]}  # 10 were asked for, 24 of a class are there for 6 real ones
    for arm in ("real", "mix"):
        head = record["headline"][arm]
        assert head["low"] <= head["accuracy"] <= head["high"]
        frame = pd.read_csv(out / f"card-{arm}.csv")
        assert frame[(frame.group == "all") & (frame.metric == "accuracy")]["value"].iloc[0] == pytest.approx(
            head["accuracy"]
        )
    html = (out / "report.html").read_text()
    assert "&lt;b&gt;an image&lt;/b&gt;" in html
    assert "<b>an image" not in html
    assert "10 phantoms that the real-only arm does not have" in html
    classifier = "test_efficientnet (timm) at 32 px, trained from scratch, 4 steps of 8 images"
    assert f"Classifier: {classifier}." in html.partition('id="r1-what')[0]
    assert record["classifier"] == classifier
    for where in (printed, html, " ".join(record["notes"])):
        assert "hf download timm/test_efficientnet.r160_in1k model.safetensors" in where
    assert (out / "sheet.png").read_bytes().startswith(b"\x89PNG")
    times = {p: p.stat().st_mtime_ns for p in out.rglob("result.json")}
    assert json.loads(invoke(*command, "--json"))["real"] == record["headline"]["real"]
    assert {p: p.stat().st_mtime_ns for p in out.rglob("result.json")} == times
    again = invoke("report", out, "--out", tmp_path / "again", "--n-boot", 100)
    assert "synthetic images for each of 36 real ones" in again
    assert again.startswith(
        "Not enough data for an answer (1 training run of each arm, at least 3 are needed): adding "
    )


def test_a_leak_is_refused_and_red_when_it_is_allowed(phantom_shards: Path, tmp_path: Path) -> None:
    """The whole way: from a sidecar's lineage to the page."""
    test_id = ShardSet.open(phantom_shards / "test").rows["id"][0]
    leaky = write_noisy_copies(tmp_path / "leaky", phantom_shards, (test_id,))
    command = (
        "run",
        "--real",
        phantom_shards,
        "--synthetic",
        leaky,
        "--out",
        tmp_path / "out",
        "--n-real",
        6,
        "--n-boot",
        100,
        *FAST,
    )
    with pytest.raises(UserError, match=test_id):
        invoke(*command)
    invoke(*command, "--allow-leakage")
    assert 'class="leak"' in (tmp_path / "out" / "report.html").read_text()


def test_all_real_images_of_unequal_classes_are_run(phantom_shards: Path, noisy_copies: Path, tmp_path: Path) -> None:
    """A clinic has not as many of each class: the ratio is lowered to what the arm will ask for, and it trains."""
    train = ShardSet.open(phantom_shards / "train")
    first = train.rows["class"] == train.classes[0]
    kept = train.rows["id"][~first | (train.rows["group"] != "dark")]
    select(train.where(ids=kept), tmp_path / "real" / "train", "t")
    for split in ("validation", "test"):
        (tmp_path / "real" / split).symlink_to(phantom_shards / split, target_is_directory=True)
    invoke(
        "run",
        "--real",
        tmp_path / "real",
        "--synthetic",
        noisy_copies,
        "--out",
        tmp_path / "out",
        "--n-real",
        0,
        "--n-boot",
        100,
        *FAST,
    )
    asked = json.loads((tmp_path / "out" / "run.json").read_text())["plan"]
    assert asked["doses"] == {"0": [0, 2.057]}  # 24 of a class for 70 real ones of 6 classes


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    """The report says what can be made there."""
    with pytest.raises(UserError, match="holds no run"):
        invoke("report", tmp_path)
