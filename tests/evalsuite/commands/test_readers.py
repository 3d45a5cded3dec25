"""`evalsuite readers`: the folder that it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_helpers import call
from mrmc_helpers import imrmc_example, simulated


def test_the_folder_has_page_numbers_and_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = simulated(3, 80, 1.0).assign(fst="[red]I[/blue]")
    frame["modality"] = frame["modality"].replace({"helped": "<b>[AI]</b>"})
    frame.to_csv(tmp_path / "t.CSV", index=False)
    assert call(f"evalsuite readers {tmp_path}/t.CSV --groups fst --out {tmp_path}/out") == 0
    printed = capsys.readouterr().out
    assert "fst [red]I[/blue]: 80 cases, 40 positive" in printed
    assert "<b>[AI]</b> helps, for readers and cases like these." in printed
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["readers.csv", "readers.html", "readers.json"]
    page = (tmp_path / "out" / "readers.html").read_text()
    assert "&lt;b&gt;[AI]&lt;/b&gt; helps" in page
    assert "<b>[AI]" not in page


def test_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imrmc_example().to_parquet(tmp_path / "t.parquet")
    assert call(f"evalsuite readers {tmp_path}/t.parquet --method unbiased --json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["all"]["analyses"]["neither"]["differences"][0]["df"] == pytest.approx(7.435336, abs=1e-6)
    assert found["all"]["verdict"] == "cannot be determined"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--columns rader=x", "expected ROLE=COLUMN with one of reader, case"),
        ("--columns reader=x,reader=y", "reader is named twice"),
        ("--metric sensitivity", "needs a threshold"),
        ("--threshold 1", "--threshold is used only with a sensitivity or a specificity"),
        ("--against AI", "no modality 'AI'; it has alone, helped"),
        ("--groups fst", "no column fst"),
    ],
)
def test_bad_input_is_one_line(words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulated(2, 30).to_csv(tmp_path / "t.csv", index=False)
    assert call(f"evalsuite readers {tmp_path}/t.csv {words}") == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert said in printed
