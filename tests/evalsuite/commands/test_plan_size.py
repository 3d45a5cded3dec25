"""`evalsuite plan-size`: one question at a time, a table for people, a document for machines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_helpers import call

from dermforge.common import console


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trainings of two arms on the same images of 60 patients."""
    folder, rng = tmp_path_factory.mktemp("pilot"), np.random.default_rng(0)
    frame = pd.DataFrame({"id": range(180), "label": ["a", "b"] * 90, "fst": ["[red]I[/blue]", "II", "VI"] * 60})
    frame["patient"] = np.arange(180) // 3
    for name in ("mix0", "mix1", "real0", "real1"):
        b = np.where((frame["label"] == "b") == (rng.random(180) < 0.8), 0.9, 0.1)
        frame.assign(prob_a=1 - b, prob_b=b).to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_a_gap_is_planned_for_each_group(
    tables: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "_width", 160)
    line = f"evalsuite plan-size {tables}/mix0.csv --groups fst --cluster patient --gap 0.2 --simulations 200"
    assert call(line) == 0
    printed = capsys.readouterr().out
    assert "│ [red]I[/blue]" in printed
    assert call(f"{line} --json") == 0
    first = capsys.readouterr().out
    assert call(f"{line} --json") == 0
    assert capsys.readouterr().out == first
    found = json.loads(first)
    assert [one["group"] for one in found["gaps"]] == ["II", "VI", "[red]I[/blue]"]
    assert all(one["needed"]["power"] > 0.7 for one in found["gaps"])


def test_a_difference_is_planned_for_each_dose_and_number_of_trainings(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = (
        f"evalsuite plan-size {tables}/mix0.csv {tables}/mix1.csv --against {tables}/real0.csv --against "
        f"{tables}/real1.csv --gains 1=0.05,10=0.1 --seeds 3,5 --simulations 200"
    )
    assert call(f"{line} --json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["dose"], one["seeds"]) for one in found["gains"]] == [(1, 3), (1, 5), (10, 3), (10, 5)]
    assert found["pilot"]["trainings"] == 2
    assert call(line) == 0
    assert "10:1" in capsys.readouterr().out


def test_a_sensitivity_says_which_images_are_counted(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1,000 images of melanoma are no test set of 1,000 images."""
    line = f"evalsuite plan-size {tables}/mix0.csv --groups fst --gap 0.2 --simulations 100"
    for words, said in (
        ("", ""),
        ("sensitivity --positive b", "those of b:"),
        ("specificity --positive b", "not of b:"),
    ):
        assert call(f"{line} --metric {words}" if words else line) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert said in printed
        assert ("a test set needs the others as well" in printed) == bool(words)


def test_arms_that_never_differ_plan_nothing(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Identical tables: no image where just one is right is no evidence that there are none."""
    line = f"evalsuite plan-size {tables}/mix0.csv --against {tables}/mix0.csv --difference 0.1 --seed-sd 0.01"
    assert call(line) == 2
    assert "both arms are right on the same images" in " ".join(capsys.readouterr().err.split())
    assert call(f"{line} --discordant 0.2 --simulations 100") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "plan for a gap (--groups) or for a difference"),
        ("--groups fst --difference 0.1", "plan for a gap (--groups) or for a difference"),
        ("--difference 0.1 --gains 1=0.1", "give --difference or --gains, one of them"),
        ("--gains 1:0.1", "expected DOSE=DIFFERENCE"),
        ("--gains 1=2", "expected a dose above 0 and a difference between 0 and 1"),
        ("--difference 0.1", "give --discordant"),
        ("--difference 0.1 --discordant 0.2", "give --seed-sd"),
        ("--difference 0.1 --discordant 0.2 --seed-sd 0.01 --seeds x", "--seeds 'x'"),
        ("--groups fst --gap 0.9", "the others reach 0."),
        ("--groups fst --metric sensitivity", "no class ''"),
        ("--groups fst --seed-sd 0.01", "--seed-sd is used only with --difference or --gains"),
        ("--difference 0.1 --balanced", "--balanced is used only with --groups"),
        ("--groups fst --positive a", "--positive is used only with a sensitivity"),
    ],
)
def test_bad_input_ends_with_2(words: str, said: str, tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(f"evalsuite plan-size {tables}/mix0.csv {words}") == 2
    assert said in " ".join(capsys.readouterr().err.split())
