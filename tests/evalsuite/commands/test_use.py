"""`evalsuite use`: certificate, table, section and page; exit status 1 where it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner
from use_helpers import collapsed, phantom, write_real, write_side

from dermforge.common.use_certificate import USE, read_use_certificate
from evalsuite.cli import PROGRAM


def test_a_collapsed_student_fails_and_everything_is_written(tmp_path: Path) -> None:
    teacher = write_side(tmp_path / "teacher", phantom(0), 8, steps=20)
    words = ["--teacher", str(teacher), "--student", str(write_side(tmp_path / "student", collapsed(700), 8))]
    words += ["--real", str(write_real(tmp_path / "real", 8)), "--seeds", "0", "--draws", "50", "--control", "1"]
    done = CliRunner().invoke(PROGRAM.app(), ["use", *words, "--out", str(tmp_path / "out"), "--json"])
    assert "do not serve as the teacher's do" in str(done.exception), done.output
    certificate, _ = read_use_certificate(tmp_path / "out" / USE)
    assert certificate.verdict == "fail"
    assert json.loads(done.stdout)["verdict"] == "fail"
    assert json.loads((tmp_path / "out" / "section.json").read_text())["status"] == "bad"
    assert (tmp_path / "out" / "rows.csv").read_text().count("\n") == len(certificate.rows) + 1
    assert "Do the student" in (tmp_path / "out" / "report.html").read_text()


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    words = ["use", "--teacher", "t", "--student", "s", "--real", "r", "--out", str(tmp_path)]
    done = CliRunner().invoke(PROGRAM.app(), words)
    assert isinstance(done.exception, ValueError)
    assert "is not a certificate of use" in str(done.exception)


@pytest.mark.parametrize("margins", ["[]", '{"gains": [0, 0]}'])
def test_margins_are_checked_before_any_work(margins: str, tmp_path: Path) -> None:
    (tmp_path / "margins.json").write_text(margins)
    words = ["use", "--teacher", "t", "--student", "s", "--real", "r", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(PROGRAM.app(), [*words, "--margins", str(tmp_path / "margins.json")])
    assert "margins.json" in str(done.exception)
