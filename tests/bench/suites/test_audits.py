"""The page beside other tools shows the committed numbers, and a tool's script says what the tool says."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import recall_score

from bench.measure.record import BenchmarkRecord
from bench.peers import audits as peers
from bench.suites import audits
from bench.suites.statistics.planted_tables import draw
from dermforge.common.errors import UserError

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "explanation" / "peers.md"
RESULTS = ROOT / "bench" / "results"


def test_the_page_shows_the_committed_numbers() -> None:
    """Nobody types a number: what the command prints from the record stands there as it is."""
    page = PAGE.read_text(encoding="utf-8")
    assert audits.markdown(audits.read(RESULTS / "audits")) in page
    sample = (RESULTS / "cpu-2-cores-fast-bf16-peers" / "sample.json").read_bytes()
    assert audits.generation(BenchmarkRecord.model_validate_json(sample)) in page


def test_the_record_holds_every_tool_and_what_tools_share_agrees() -> None:
    """The sensitivity of a group is one number, whoever computes it."""
    record = audits.read(RESULTS / "audits")
    assert tuple(one.tool for one in record.found) == peers.TOOLS
    assert [one.lines for one in record.found] == [peers.lines_of(peers.script_of(tool)) for tool in peers.TOOLS]
    for kind in audits.TABLES:
        said = [found for one in record.found if (found := audits.first(one, kind).sensitivity)]
        assert len(said) == 4
        for group in record.truth[kind]:
            assert len({round(found[group] or -1, 6) for found in said}) == 1


@pytest.mark.slow
def test_a_script_says_what_its_tool_says(tmp_path: Path) -> None:
    """fairlearn in a process of its own: scikit-learn's recall of each group, inside its interval."""
    table = audits.frame(draw(np.random.default_rng(3), audits.TABLES["with a gap"]))
    table.to_csv(tmp_path / "table.csv", index=False)
    found = peers.run("fairlearn", Path(sys.executable), [tmp_path / "table.csv"])
    assert found.version == version("fairlearn")
    (said,) = found.said
    assert said.sensitivity is not None
    assert said.intervals is not None
    for group, rows in table.groupby("fst"):
        truth, called = rows["label"] == "melanoma", rows["prob_melanoma"] >= 0.5
        assert said.sensitivity[str(group)] == pytest.approx(recall_score(truth, called))
        low, high = (float(end or 0) for end in said.intervals[str(group)])
        assert low <= recall_score(truth, called) <= high
    assert said.alarm is None


def test_a_tool_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("id,label\n")
    with pytest.raises(UserError, match="--python fairscope=PATH"):
        peers.run("fairscope", Path(sys.executable), [tmp_path / "table.csv"])
