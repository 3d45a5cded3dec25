"""`bench paper`: strategies in equal parts, growth, and hours for the paper's images."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measure.record import Measurement
from bench.peers.anchors import PAPER_IMAGES
from bench.suites.paper import PaperRuns, growth, hours, rates
from engines.engine import Engine

RATE = Measurement(name="paper/fast", unit="images/s", better="higher", samples=[10.0, 10.0, 10.0])


def test_the_papers_run_mixes_its_strategies_and_grows_in_line(engine: Engine, tmp_path: Path) -> None:
    """Text-to-image, inpaint and inpaint-outpaint in equal parts, through the sampler into files that are removed."""
    run = PaperRuns(engine, tmp_path)
    plan = run.plan("fast", 6)
    assert plan.frame["strategy"].value_counts().to_dict() == {"text-to-image": 2, "inpaint": 2, "inpaint-outpaint": 2}
    assert set(plan.frame["size"]) == {str(engine.spec.size)}
    found = rates(run, ["fast"], 3, repeats=1)
    assert found[0].name == "paper/fast"
    # Twenty steps with the interval take fewer than 40 rows, two phases nearly twice as many.
    assert 20 < float(found[0].details["denoiser rows/image"] or 0) < 80
    assert [p.name for p in tmp_path.iterdir()] == [f"parents-{engine.spec.size}"]


@pytest.mark.slow
def test_growth_reports_each_factor(engine: Engine, tmp_path: Path) -> None:
    """1, 10 and 100 times the work."""
    found = growth(PaperRuns(engine, tmp_path), "fast", 1)
    assert [m.details["images"] for m in found] == [1, 10, 100]


def test_the_papers_images_at_ten_a_second() -> None:
    """458,920 images are 12.75 hours; two runs have no interval."""
    assert hours(RATE).median == pytest.approx(PAPER_IMAGES / 36_000)
    assert hours(RATE, 36_000).median == pytest.approx(1.0)
    two = hours(RATE.model_copy(update={"samples": [9.0, 11.0]}))
    assert two.details["low"] is two.details["high"] is None


def test_the_interval_is_the_right_way_round() -> None:
    """The slowest runs give the longest time."""
    found = hours(RATE.model_copy(update={"samples": [9.0, 10.0, 11.0]}))
    assert float(found.details["low"] or 0) < found.median < float(found.details["high"] or 0)
