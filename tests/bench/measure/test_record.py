"""Records: what was measured comes back as it was, and a wrong file is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord, Measurement, load, records, save
from dermforge.common.errors import UserError


def a_record(command: str = "engine") -> BenchmarkRecord:
    found = [Measurement(name="whole/ours", unit="images/s", better="higher", samples=[10.0, 11.0, 12.0])]
    return BenchmarkRecord(command=command, facts=describe(torch.device("cpu")), measurements=found)


def test_a_record_comes_back_whole(tmp_path: Path) -> None:
    """Every sample is kept: a comparison needs more than the median."""
    record = a_record()
    assert load(save(record, tmp_path)) == record
    assert [r.command for r in records(tmp_path)] == ["engine"]


@pytest.mark.parametrize("content", ["", "{}", '{"schema_version": 2}', "[1]"])
def test_another_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    """The error names the file and says what was expected."""
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=r"x\.json is not a result of bench"):
        load(tmp_path / "x.json")


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    """The remedy is a command."""
    with pytest.raises(UserError, match="`bench all` writes them"):
        records(tmp_path)
