"""The notebook's fairness card and comparison: the numbers of `evalsuite fairness`, and safe HTML."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import dermforge
from evalsuite.cli import PROGRAM

GROUPS = ["fst", "sex"]


def predictions(accuracy: float, rows: slice = slice(None), seed: int = 0) -> pd.DataFrame:
    """300 images of 100 patients by a classifier that is right that often, less often for V-VI."""
    rng = np.random.default_rng(seed)
    n = 300
    table = pd.DataFrame(
        {
            "id": [f"i{i:03d}" for i in range(n)],
            "label": np.resize(["benign", "malignant", "other"], n),
            "fst": np.resize(["I-II", "III-IV", "V-VI", "V-VI"], n),
            "sex": np.resize(["f", "f", "f", "m", "m"], n),
            "patient": [f"p{i // 3:02d}" for i in range(n)],
        }
    )
    guess = np.where(
        rng.random(n) < np.where(table["fst"] == "V-VI", accuracy - 0.2, accuracy),
        table["label"],
        rng.choice(["benign", "malignant", "other"], n),
    )
    for name in ("benign", "malignant", "other"):
        table[f"prob_{name}"] = np.where(guess == name, 0.7, 0.15)
    return table[rows]


def command(tmp_path: Path, table: pd.DataFrame, *options: str) -> dict[str, object]:
    """What `evalsuite fairness --json` says of a table."""
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    words = ["fairness", str(path), "--groups", "fst,sex", "--cluster", "patient", "--json", *options]
    done = CliRunner().invoke(PROGRAM.app(["fairness"]), words)
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_card_is_the_commands(tmp_path: Path) -> None:
    test, validation = predictions(0.9, slice(150, None)), predictions(0.9, slice(0, 150))
    validation.to_csv(tmp_path / "validation.csv", index=False)
    said = command(tmp_path, test, "--validation", str(tmp_path / "validation.csv"))
    card = dermforge.fairness_card(test, groups=GROUPS, cluster="patient", validation=validation)
    found = json.loads(card.to_json())
    assert found.pop("source") != said.pop("source")
    assert found == said


def test_the_comparison_is_the_commands(tmp_path: Path) -> None:
    before, after = predictions(0.7, seed=1), predictions(0.95, seed=2)
    before.to_csv(tmp_path / "before.csv", index=False)
    said = command(tmp_path, after, "--against", str(tmp_path / "before.csv"))["comparison"]
    made = dermforge.compare(before, after, groups=GROUPS, cluster="patient")
    assert json.loads(made.to_json()) == said | {"a": "table a", "b": "table b"}  # type: ignore[operator]


@pytest.mark.parametrize("positive", [["malignant"], ["malignant", "other"]])
def test_the_comparison_of_positive_classes_is_the_commands(tmp_path: Path, positive: list[str]) -> None:
    """The sensitivity of one class, or of several together, with weights."""
    before, after = (predictions(0.8, seed=seed).assign(w=np.arange(300) % 3 + 1.0) for seed in (1, 2))
    before.to_csv(tmp_path / "before.csv", index=False)
    asked = ["--against", str(tmp_path / "before.csv"), "--positive", ",".join(positive), "--weight", "w"]
    said = command(tmp_path, after, *asked)["comparison"]
    made = dermforge.compare(before, after, groups=GROUPS, positive=positive, cluster="patient", weight="w")
    assert str(made.metric) == f"sensitivity:{'+'.join(positive)}"
    assert json.loads(made.to_json()) == said | {"a": "table a", "b": "table b"}  # type: ignore[operator]


def test_a_notebook_shows_both_as_safe_html() -> None:
    table = predictions(0.9).replace({"fst": {"V-VI": "<b>V-VI</b>"}})
    card = dermforge.fairness_card(table, groups=["fst"])
    made = dermforge.compare(table, table, groups=["fst"])
    for html in (card._repr_html_(), made._repr_html_()):
        assert "&lt;b&gt;V-VI&lt;/b&gt;" in html
        assert "<b>" not in html
        assert "<html" not in html
        assert html.count("<table>") == html.count("</table>") > 0


def test_what_is_wrong_is_a_value_error_that_names_the_argument() -> None:
    table = predictions(0.9)
    with pytest.raises(ValueError, match="the table: missing column skin"):
        dermforge.fairness_card(table, groups=["skin"])
    with pytest.raises(ValueError, match=r"ids are in both the table and the validation table"):
        dermforge.fairness_card(table, groups=["fst"], validation=table)
    with pytest.raises(ValueError, match="table a and table b hold different ids"):
        dermforge.compare(table, table[:150], groups=["fst"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"groups": []}, "groups: none given"),
        ({"groups": ""}, "groups: none given"),
        ({"confidence": 95}, "confidence 95: expected a share from 0.5 to 0.999"),
        ({"min_count": 0}, "min_count 0: expected at least 2 rows"),
    ],
)
def test_both_functions_keep_to_the_ranges_of_the_command(wrong: dict[str, object], said: str) -> None:
    table, asked = predictions(0.8), {"groups": ["fst"], **wrong}
    with pytest.raises(ValueError, match=said):
        dermforge.fairness_card(table, **asked)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=said):
        dermforge.compare(table, table, **asked)  # type: ignore[arg-type]


def test_a_name_by_itself_is_one_group_column() -> None:
    table = predictions(0.8)
    one, many = (dermforge.fairness_card(table, groups=g, positive=None) for g in ("fst", ["fst"]))
    assert one.to_dict() == many.to_dict()
    with pytest.raises(ValueError, match="specificity 90"):
        dermforge.fairness_card(table, groups="fst", specificity=90)
