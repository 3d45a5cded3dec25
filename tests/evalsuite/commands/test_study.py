"""`evalsuite study`: from generators' shards or features to the page, and doses raised until the gain stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tracker_readers
from training_helpers import SMALL
from typer.testing import CliRunner

from bench.suites.study import feature_study
from dermforge.common.digests import digest_file
from dermforge.common.errors import UserError
from evalsuite.cli import PROGRAM
from evalsuite.study import analysis
from evalsuite.study.arm import read_result
from evalsuite.study.design import read_design
from evalsuite.training.data.datasets import Places, open_data, sets_in


def test_the_command_takes_a_folder_of_sets(phantom_shards: Path, generators: Path, tmp_path: Path) -> None:
    """From the generators' shards to the page; sets with the same ids are one too many where they share a lineage."""
    words = [
        "study",
        "--real",
        str(phantom_shards),
        "--out",
        str(tmp_path / "out"),
        "--n-real",
        "2,4",
        "--ratios",
        "1",
        "--seeds",
        "2",
        "--steps",
        "2",
        "--batch",
        "8",
        *SMALL,
        "--n-boot",
        "100",
        "--workers",
        "1",
    ]
    done = CliRunner().invoke(PROGRAM.app(), [*words, "--synthetic", str(generators / "made")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    html = (tmp_path / "out" / "report.html").read_text()
    assert "phantoms that the real-only arm does not have" in html
    assert "Classifier: test_efficientnet (timm) at 32 px, trained from scratch, 2 steps of 8 images." in html
    with pytest.raises(UserError, match="the same synthetic ids are in two"):
        open_data(
            Places(
                real=phantom_shards, synthetic=sets_in([generators / "made", generators / "made" / "n2-s0"]), size=32
            )
        )


def test_a_study_is_one_tracked_run(phantom_shards: Path, generators: Path, tmp_path: Path) -> None:
    """Each arm's accuracy from workers that know no tracker; gains, verdicts and a page without images at the end."""
    pytest.importorskip("mlflow")
    words = ["study", "--real", str(phantom_shards), "--synthetic", str(generators / "made"), "--arms", "none"]
    words += ["--n-real", "2,4", "--ratios", "1", "--seeds", "2", "--steps", "2", "--batch", "8", *SMALL]
    words += ["--n-boot", "100", "--workers", "2", "--out", str(tmp_path / "out"), "--track", "mlflow"]
    words += ["--track", "tensorboard"]
    done = CliRunner().invoke(PROGRAM.app(), words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "out.tracking"
    flow = tracker_readers.mlflow(folder)
    results = [read_result(path) for path in sorted((tmp_path / "out" / "arms").glob("*/result.json"))]
    assert len(results) == 8
    for result in results:
        cell = f"{result.arm.kind}/n{result.arm.n_real}/r{result.arm.ratio:g}"
        assert (result.arm.seed, pytest.approx(result.test_accuracy)) in flow.points[f"{cell}/test_accuracy"]
    record = json.loads((tmp_path / "out" / "study.json").read_text())
    assert record["lacking"]
    for group, why in record["lacking"].items():
        assert flow.outcome[f"verdict/{group}"] == f"not enough data: {why}"
    assert flow.outcome["record sha256"] == digest_file(tmp_path / "out" / "study.json")
    page = flow.files["report.html"].decode()
    assert "data:image" in (tmp_path / "out" / "report.html").read_text()
    assert "data:image" not in page
    assert str(phantom_shards) not in page
    assert "Score against real images" in page
    again = CliRunner().invoke(PROGRAM.app(), words, catch_exceptions=False)
    assert again.exit_code == 0
    assert tracker_readers.mlflow(folder).points == flow.points, "nothing stands there twice"
    board = tracker_readers.tensorboard(folder).points
    assert len(board["mix/n2/r1/test_accuracy"]) == 2


def test_the_dose_is_raised_by_the_command_until_it_stops(tmp_path: Path) -> None:
    """`--adaptive` from features to the page: doublings, controls at the last dose only, and nothing trained twice."""
    made = feature_study(tmp_path, arms=12, width=512)
    places = ["--real", made.places.real, "--synthetic", made.places.synthetic[0], "--features", made.places.features]
    words = [
        "study",
        *places,
        "--out",
        tmp_path / "out",
        "--adaptive",
        "--max-ratio",
        "4",
        "--n-real",
        "5",
        "--seeds",
        "4",
        "--steps",
        "30",
        "--lr",
        "0.01",
        "--size",
        "16",
        "--n-boot",
        "100",
        "--workers",
        "1",
        "--json",
        "--track",
        "tensorboard",
    ]

    def run() -> dict[str, float]:
        done = CliRunner().invoke(PROGRAM.app(), [str(w) for w in words])
        assert done.exit_code == 0, done.output
        return {p.parent.name: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("result.json")}

    trained = run()
    doses = read_design(tmp_path / "out").doses[5]
    assert doses == (0, 1, 2, 4)[: len(doses)]
    assert len(doses) > 2
    flat = analysis.analyse(tmp_path / "out", n_boot=100).flat()
    assert flat == [5] or doses[-1] == 4
    short = {name for name in trained if name.startswith("real-short")}
    assert short == {f"real-short_n5_r{doses[-1]:g}_s{seed}" for seed in range(4)}
    assert f"{doses[-1]:g}:1" in (tmp_path / "out" / "report.html").read_text()
    assert run() == trained
    board = tracker_readers.tensorboard(tmp_path / "out.tracking")
    found = json.loads((tmp_path / "out" / "study.json").read_text())
    for gain in found["gains"]:
        name = f"{gain['group']}/n{gain['size']}"
        if gain["group"] not in found["lacking"]:
            assert board.points[f"gain/{name}/r{gain['ratio']:g}/value"][-1][1] == pytest.approx(gain["value"])
        if gain["ratio"] == found["reference_ratio"]:
            assert board.outcome[f"verdict/{name}"] == gain["verdict"]
    assert found["gains"]
