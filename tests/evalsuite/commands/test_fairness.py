"""`evalsuite fairness`: the folder that it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import typer
from planted_tables import dermatology
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from evalsuite.commands.fairness import fairness as command


def table(n: int, k: int = 4, seed: int = 0, separation: float = 1.5, prefix: str = "i") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    p = rng.normal(size=(n, k))
    p[np.arange(n), y] += separation
    p = np.exp(p)
    frame = pd.DataFrame(p / p.sum(axis=1, keepdims=True), columns=[f"prob_c{i}" for i in range(k)])
    frame.insert(0, "label", [f"c{v}" for v in y])
    frame.insert(0, "id", [f"{prefix}{i}" for i in range(n)])
    return frame.assign(fst=rng.integers(1, 4, n), sex=rng.choice(["f", "m"], n), patient=np.arange(n) // 2)


def invoke(*arguments: str) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.exception


def test_command_writes_a_self_contained_folder(tmp_path: Path) -> None:
    """JSON, CSV, HTML and plots; hostile group names are escaped; nothing is fetched."""
    frame = table(240)
    frame["fst"] = frame["fst"].map({1: "<script>alert(1)</script>", 2: "a & b", 3: "$x^2$"})
    frame.to_csv(tmp_path / "t.csv", index=False)
    table(240, separation=1.0).drop(columns=["fst", "sex", "patient"]).to_parquet(tmp_path / "base.parquet")
    table(200, seed=3, prefix="v").assign(fst="a & b").to_csv(tmp_path / "v.csv", index=False)
    status, out, error = invoke(
        str(tmp_path / "t.csv"),
        "--groups",
        "fst",
        "--against",
        str(tmp_path / "base.parquet"),
        "--noise",
        "0.1",
        "--out",
        str(tmp_path / "card"),
        "--validation",
        str(tmp_path / "v.csv"),
        "--json",
    )
    assert status == 0, error
    assert json.loads(out)["comparison"]["metric"] == "accuracy"
    names = {p.name for p in (tmp_path / "card").iterdir()}
    assert {"card.json", "groups.csv", "gaps.csv", "card.html", "forest_fst.svg", "raters.json"} <= names
    page = (tmp_path / "card" / "card.html").read_text()
    assert "<script" not in page
    assert "a &amp; b" in page
    assert "src=" not in page
    assert json.loads((tmp_path / "card" / "card.json").read_text())["classes"] == ["c0", "c1", "c2", "c3"]


def test_command_refuses_in_one_line(tmp_path: Path) -> None:
    """Missing columns, shared training ids and unknown metrics are the user's mistakes."""
    frame = table(60)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame[["id"]].iloc[:2].to_csv(tmp_path / "train.csv", index=False)
    for extra, expected in (
        (["--groups", "age"], "missing column age"),
        (["--groups", "fst", "--train", str(tmp_path / "train.csv")], "2 ids are in both"),
        (["--groups", "fst", "--metric", "beauty"], "unknown metric 'beauty'"),
        (["--groups", "fst", "--cluster", "family"], "missing column family"),
        (["--groups", "fst,sex,fst"], "'fst' is named twice"),
        (["--groups", "fst", "--rater-b", "fst"], "'fst' is named twice"),
        (["--groups", "label"], "column 'label' cannot be a group"),
        (
            ["--groups", "fst", "--against", str(tmp_path / "t.csv"), "--metric", "brier"],
            "metric 'brier' cannot be compared here",
        ),
        (
            ["--groups", "fst", "--noise", "0.1", "--metric", "calibration_slope"],
            "metric 'calibration_slope' cannot be compared here",
        ),
    ):
        _, _, error = invoke(str(tmp_path / "t.csv"), *extra)
        assert isinstance(error, UserError)
        assert expected in str(error)


def test_a_table_of_another_classifier_gives_the_same_card(tmp_path: Path) -> None:
    """Its columns are named, also those of the validation and training tables."""
    frame = table(200, k=2)
    frame.to_csv(tmp_path / "ours.csv", index=False)
    names = {"id": "image", "label": "truth", "prob_c0": "p0", "prob_c1": "p1"}
    frame.rename(columns=names).to_csv(tmp_path / "theirs.csv", index=False)
    frame[["id"]].rename(columns=names).head(1).to_csv(tmp_path / "train.csv", index=False)
    options = ("--groups", "fst", "--json")
    own = ("--id-column", "image", "--label-column", "truth", "--prob-columns", "c0=p0,c1=p1")
    status, ours, _ = invoke(str(tmp_path / "ours.csv"), *options)
    assert status == 0
    _, theirs, _ = invoke(str(tmp_path / "theirs.csv"), *options, *own)
    assert {**json.loads(theirs), "source": ""} == {**json.loads(ours), "source": ""}
    refused = invoke(str(tmp_path / "theirs.csv"), *options, *own, "--train", str(tmp_path / "train.csv"))[2]
    assert isinstance(refused, UserError)
    assert "i0" in str(refused)


def test_groups_that_look_like_markup_are_printed_as_they_are(tmp_path: Path) -> None:
    """[red]I[/blue] ended the command with rich's traceback, and [other] vanished from the table."""
    frame = table(240)
    frame["fst"] = frame["fst"].map({1: "[red]I[/blue]", 2: "[other]", 3: ":warning:"})
    frame.to_csv(tmp_path / "t.csv", index=False)
    status, out, error = invoke(str(tmp_path / "t.csv"), "--groups", "fst")
    assert status == 0, error
    for name in ("[red]I[/blue]", "[other]", ":warning:"):
        assert f"│ {name}" in out


def test_a_baseline_with_its_columns_in_another_order_is_the_same(tmp_path: Path) -> None:
    frame = table(120)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame[frame.columns[::-1]].to_csv(tmp_path / "b.TSV", index=False, sep="\t")
    status, out, error = invoke(
        str(tmp_path / "t.csv"), "--groups", "fst", "--against", str(tmp_path / "b.TSV"), "--json"
    )
    assert status == 0, error
    assert {change["difference"] for change in json.loads(out)["comparison"]["changes"]} == {0.0}


def test_a_group_too_small_to_be_judged_is_named(tmp_path: Path) -> None:
    """Nine images of VI that the new model has all wrong: no yes and no p, but a line that names them."""
    frame = pd.DataFrame({"id": range(100), "label": ["a", "b"] * 50, "fst": ["I"] * 91 + ["VI"] * 9})
    for name, wrong in (("before", frame["id"] < 0), ("after", frame["fst"] == "VI")):
        a = np.where((frame["label"] == "a") ^ wrong, 0.9, 0.1)
        frame.assign(prob_a=a, prob_b=1 - a).to_csv(tmp_path / f"{name}.csv", index=False)
    status, out, _ = invoke(str(tmp_path / "after.csv"), "--groups", "fst", "--against", str(tmp_path / "before.csv"))
    assert status == 0
    assert "Not judged, too few rows: fst VI (n=9, 1.000 -> 0.000)." in " ".join(out.split())
    assert "not judged" in out


def test_a_question_is_answered_on_the_page_and_in_the_terminal(tmp_path: Path) -> None:
    """Positive classes, merged groups and a prevalence reach the page, the JSON and the terminal alike."""
    frame = dermatology(0, 0.4)
    frame["rater"] = np.where(np.arange(len(frame)) % 9 == 0, "III", frame["fst"])
    frame.to_parquet(tmp_path / "t.parquet")
    dermatology(1, n=800, prefix="v").to_parquet(tmp_path / "v.parquet")
    asked = (
        *(str(tmp_path / "t.parquet"), "--groups", "fst", "--cluster", "patient", "--positive", "melanoma"),
        *("--merge", "I-II,III-IV,V-VI", "--prevalence", "0.02", "--validation", str(tmp_path / "v.parquet")),
        *("--rater-b", "rater", "--out", str(tmp_path / "card")),
    )
    status, out, error = invoke(*asked)
    assert status == 0, error
    said = " ".join(out.split())
    assert "By fst, V-VI against the others: sensitivity for melanoma differs: lowest for V-VI" in said
    assert "corrected for disagreement of the raters" in said
    page = (tmp_path / "card" / "card.html").read_text()
    assert "V-VI lower than the others" in page
    for words in (
        "PPV",
        "Decision curve for melanoma",
        "Which images the answer rests on",
        "corrected for attenuation",
    ):
        assert words in page
    card = json.loads((tmp_path / "card" / "card.json").read_text())
    assert (card["primary"], card["contrast"]) == ("sensitivity:melanoma", "fst, V-VI against the others")
    assert card["settings"]["prevalence"] == 0.02


def test_a_question_that_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    dermatology(0, n=200).to_parquet(tmp_path / "t.parquet")
    for extra, expected in (
        (["--positive", "freckle"], "unknown positive class freckle"),
        (["--prevalence", "0.1"], "name them with --positive"),
        (["--merge", "sex=f"], "merge names the column 'sex'"),
        (["--contrast", "VII"], "no group of 'fst' is in 'VII'"),
        (["--primary", "sensitivity"], "name the positive class"),
    ):
        _, _, error = invoke(str(tmp_path / "t.parquet"), "--groups", "fst", *extra)
        assert isinstance(error, UserError)
        assert expected in str(error)
