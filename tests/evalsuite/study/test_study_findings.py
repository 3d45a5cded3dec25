"""The record of a study, its tables and its page hold the same verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from evalsuite.page.blocks import Report, Section
from evalsuite.page.render import page
from evalsuite.report import study_contrasts, study_report
from evalsuite.study import analysis, study_findings


def test_the_record_and_the_page_hold_the_same_verdict(planted: analysis.Analysis, tmp_path: Path) -> None:
    """JSON, CSV and HTML must not disagree."""
    record = study_findings.write_record(planted, tmp_path)
    assert json.loads((tmp_path / "study.json").read_text())["verdicts"] == record["verdicts"]
    assert len(pd.read_csv(tmp_path / "scores.csv")) == len(planted.lines)
    assert "light" in study_report.figure(planted, "light")
    words = study_report.answer(planted)
    assert words.sentence == record["verdicts"]["all"]
    made = Report(
        "title",
        words,
        [
            Section("f", study_report._figure(planted)),
            *study_contrasts.sections(planted),
            Section("l", study_report._laws(planted)),
        ],
    )
    assert "real images with RandAugment" in page([made])
