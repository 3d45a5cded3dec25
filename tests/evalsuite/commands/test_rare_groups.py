"""`evalsuite rare-groups`: a table for people, a document for machines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_helpers import call

from dermforge.common import console


def write(folder: Path) -> None:
    rng = np.random.default_rng(0)
    real = pd.DataFrame({"id": [f"r{i}" for i in range(30)], "label": ["a", "b"] * 15, "fst": "[red]VI[/blue]"})
    made = pd.DataFrame({"id": [f"s{i}" for i in range(200)], "label": ["a", "b"] * 100, "fst": "[red]VI[/blue]"})
    made["parent"] = [f"r{i}" for i in range(200)]
    for frame in (real, made):
        frame["prob_a"] = np.where((frame["label"] == "a") == (rng.random(len(frame)) < 0.8), 0.9, 0.1)
        frame["prob_b"] = 1 - frame["prob_a"]
    real.to_csv(folder / "real.csv", index=False)
    made.to_csv(folder / "made.csv", index=False)


def test_the_table_and_the_document_say_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "_width", 160)
    write(tmp_path)
    line = (
        f"evalsuite rare-groups {tmp_path}/real.csv {tmp_path}/made.csv --groups fst --metric sensitivity --positive a"
    )
    assert call(line) == 0
    printed = capsys.readouterr().out
    assert call(f"{line} --json") == 0
    (found,) = json.loads(capsys.readouterr().out)["groups"]
    assert (found["real"], found["twins"], found["others"]) == (15, 15, 85)
    assert "│ [red]VI[/blue]" in printed
    assert f"{found['powered']['estimate']['value']:.3f}" in printed


def test_bad_input_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert call(f"evalsuite rare-groups {tmp_path}/real.csv {tmp_path}/real.csv --groups fst") == 2
    assert "no column parent" in capsys.readouterr().err
