"""Tone of student and teacher: one skin type that moves, narrows or is turned is found in its rows alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evalsuite.use.comparison import Comparison, judged
from evalsuite.use.margins import DEFAULTS
from evalsuite.use.tone_kept import tone_kept

N = 90
GROUPS = ("light", "tan", "dark")
MIDDLE = {"light": 50.0, "tan": 20.0, "dark": -20.0}


def table(seed: int) -> pd.DataFrame:
    """Angles of three skin types in turn, each about its middle."""
    group = np.array(GROUPS)[np.arange(N) % 3]
    angle = np.array([MIDDLE[name] for name in group]) + 5 * np.random.default_rng(seed).normal(size=N)
    frame = pd.DataFrame({"id": [f"{i:03d}" for i in range(N)], "group": group, "ita": angle})
    return frame.assign(requested=np.arange(N) % 3, cluster=None, parent=None)


def found(teacher: pd.DataFrame, student: pd.DataFrame, paired: bool = True) -> dict[tuple[str, str], Comparison]:
    rows = tone_kept(teacher, student, pd.DataFrame({"id": []}), paired=paired, draws=60)
    return {(row.measure, row.cell): row for row in rows}


def test_one_skin_type_that_is_lighter_is_found_there() -> None:
    teacher, student = table(0), table(1)
    student.loc[student["group"] == "dark", "ita"] += 12
    rows = found(teacher, student)
    assert rows["tone_degrees", "dark"].bounds(0.9)[0] > 5
    for other in ("light", "tan"):
        low, high = rows["tone_degrees", other].bounds(0.9)
        assert -5 < low < 0 < high < 5
    assert rows["tone_degrees", "dark"].n == N / 3


def test_narrower_angles_are_a_range_and_a_spread() -> None:
    """Of angles that differ in their middle only, range and deviation are halved, each by its own statistic."""
    teacher = table(0)
    middle = teacher["group"].map(MIDDLE)
    rows = found(teacher, teacher.assign(ita=middle + (teacher["ita"] - middle) / 2))
    for group in GROUPS:
        angles = teacher.loc[teacher["group"] == group, "ita"]
        assert np.isclose(rows["tone_range", group].teacher, np.subtract(*np.quantile(angles, [0.95, 0.05])))
        assert np.isclose(rows["tone_spread", group].teacher, angles.std())
        assert np.isclose(rows["tone_range", group].value, 0.5)
        assert np.isclose(rows["tone_spread", group].value, 0.5)
        assert rows["tone_range", group].scale == rows["tone_spread", group].scale == "ratio"


def test_the_order_is_that_of_requested_and_measured_tone() -> None:
    """Light is requested as 0 and has the highest angle; +1 is the perfect order."""
    teacher = table(0)
    rows = found(teacher, teacher.assign(ita=-teacher["ita"]))
    assert rows["tone_order", "all"].teacher > 0.9
    assert rows["tone_order", "all"].student < -0.9
    alone = found(teacher.assign(requested=1.0), teacher)
    assert alone["tone_order", "all"].lacking == "fewer than two requested tones are known"


def test_a_perfect_order_of_few_images_is_no_proof() -> None:
    """Every half of them has the same correlation, which is 0.94 at most as many images share a tone."""
    verdicts = {}
    for n in (24, N):
        rows = [found(table(0)[:n], table(1)[:n])["tone_order", "all"]]
        verdicts[n] = judged(rows, DEFAULTS.__getitem__)[0].verdict
    assert verdicts == {24: "cannot be determined", N: "pass"}


def test_images_without_a_tone_are_counted_and_not_measured() -> None:
    teacher, student = table(0), table(1)
    student.loc[::2, "ita"] = np.nan
    rows = found(teacher, student)
    assert rows["tone_measured", "all"].teacher == 1
    assert rows["tone_measured", "all"].student == 0.5
    assert rows["tone_measured", "all"].n == N
    assert "15 images with a measured tone" in rows["tone_degrees", "dark"].lacking
    assert not rows["tone_order", "all"].lacking


def test_images_of_other_plans_are_two_sets() -> None:
    """The same images in pairs have no error; as two sets they have that of both."""
    teacher = table(0)
    teacher.loc[::3, "ita"] = np.nan
    width = {}
    for paired, student in ((True, teacher), (False, teacher.assign(id="s" + teacher["id"]))):
        rows = found(teacher, student, paired)
        shown = (rows["tone_measured", "all"], rows["tone_degrees", "tan"])
        width[paired] = [float(np.subtract(*row.bounds(0.9)[::-1])) for row in shown]
    assert width[True][0] < width[False][0]
    assert width[True][1] < 1e-9 < width[False][1]
