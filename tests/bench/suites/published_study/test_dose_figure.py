"""The curve and its sentence say what the tables say, and the README's are those of the committed tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.suites.published_study.conduct_study import DOSE_FIGURE
from bench.suites.published_study.dose_figure import DoseTables, answer, draw
from bench.suites.published_study.settings import BASES, IN_WORDS
from evalsuite.study.design import Grid

ROOT = Path(__file__).parents[4]
COMMITTED = ROOT / "bench" / "results" / "study-phantoms"


def tables(verdicts: tuple[str, ...] = ("helps", "cannot be determined")) -> DoseTables:
    rows = [("all", "inpaint", 8, ratio, 0.01 * ratio, 0.0, 0.2, verdicts[0]) for ratio in (1.0, 10.0)]
    rows += [("all", "inpaint", 16, 10.0, -0.02, -0.03, 0.1, verdicts[1])]
    gains = pd.DataFrame(rows, columns=["group", "strategy", "size", "ratio", "value", "low", "high", "verdict"])
    scores = pd.DataFrame(
        [("real", 8, 0.5), ("real", 16, 0.6), ("all-real", 0, 0.75)], columns=["kind", "size", "score"]
    )
    return DoseTables(gains, scores, 0.02)


def test_the_sentence_says_each_size_with_its_interval_and_what_is_not_settled() -> None:
    assert answer({"none": tables()}) == (
        "With 8 real images of each class and generators with a UNet begun from random weights, ten synthetic images "
        "for each real one change accuracy in points: inpaint +10.0 (+0.0 to +20.0), helps. All real images bring "
        "+25.0. With 16 real images of each class and generators with a UNet begun from random weights, ten synthetic "
        "images for each real one change accuracy in points: inpaint -2.0 (-3.0 to +10.0), cannot be determined. All "
        "real images bring +15.0."
    )


def test_an_arm_that_was_not_trained_is_not_named() -> None:
    some = tables()
    few = DoseTables(some.gains, some.scores[some.scores["kind"] == "real"], some.margin)
    assert np.isnan(few.of_all_real(8))
    assert "All real images" not in answer({"none": few})


def test_each_base_has_a_row_of_panels_and_a_reader_of_the_screen_gets_the_answer() -> None:
    drawn = draw({"none": tables(), "other-phantoms": tables()})
    assert drawn.startswith("<svg")
    assert drawn == draw({"none": tables(), "other-phantoms": tables()})
    assert drawn.count(">inpaint</text>") == 2
    assert [drawn.count(f">generators {IN_WORDS[base]}</text>") for base in ("none", "other-phantoms")] == [1, 1]
    assert answer({"none": tables(), "other-phantoms": tables()}) in drawn


@pytest.fixture(scope="module")
def committed() -> dict[str, DoseTables]:
    there = [base for base in BASES if (COMMITTED / base / "gains.csv").is_file()]
    return {base: DoseTables.read(COMMITTED / base, Grid(sizes=()).margin, "accuracy") for base in there}


def test_the_committed_curve_says_what_the_committed_tables_say(committed: dict[str, DoseTables]) -> None:
    """Its words, not its strokes, which other versions of the library draw otherwise."""
    assert committed
    assert answer(committed) in (COMMITTED / DOSE_FIGURE).read_text()


def test_the_readme_shows_the_curve_and_says_its_answer(committed: dict[str, DoseTables]) -> None:
    """Its first picture; the sentence under it is ours to the digit, whatever study is committed later."""
    readme = (ROOT / "README.md").read_text()
    first = readme[readme.index("![") :]
    assert first[first.index("](") + 2 :].startswith(f"bench/results/study-phantoms/{DOSE_FIGURE})")
    assert answer(committed) in " ".join(readme.split())
