"""Which training images must have been searched, and what an audit that may miss copies can say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from use_helpers import phantom, write_real, write_side

from dermforge.common.id_ranges import unrecorded
from evalsuite.stats.equivalence import Margin
from evalsuite.use.comparison import judged
from evalsuite.use.copies_kept import _searched, copies_kept
from evalsuite.use.same_plan import same_plan
from shards import open_data

IDS = [f"r-{i:02d}" for i in range(40)]


@pytest.mark.parametrize(
    ("lineage", "said", "few"),
    [
        ([], "the shards name no training images", False),
        (IDS, "40 of the 40 training images that the shards name were searched", False),
        (["r-[00-39]", *IDS], "40 of the 40 training images", False),
        (["r-[00-41]"], "40 of the 42", False),
        (["r-[00-42]"], "40 of the 43", True),
        (["other"], "0 of the 1", True),
        ([*IDS, "phantom-[0000000000-0000000399]-plaque-tan"], "40 of the 40", False),
        (["phantom-[0000000000-0000000399]-plaque-tan"], "0 of the 400", True),
        ([*IDS, unrecorded("lcm.safetensors")], "nobody recorded those of lcm.safetensors", False),
        ([unrecorded("lcm.safetensors")], "nobody recorded those of lcm.safetensors", True),
    ],
)
def test_all_but_a_twentieth_must_be_searched(lineage: list[str], said: str, few: bool) -> None:
    """As the audit must find all but a twentieth of the copies that it plants: a copy of another image is missed."""
    known, lacking = _searched(IDS, lineage)
    assert said in known
    assert bool(lacking) == few
    assert not few or lacking == f"{known}; give all that the generators were tuned on"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """27 copies of training images, and as many others."""
    root = tmp_path_factory.mktemp("copies")
    sides = {name: open_data(write_side(root / name, phantom(at), 3)) for name, at in (("copies", 5000), ("others", 0))}
    real = write_real(root / "real", 3)
    return SimpleNamespace(train=open_data(real / "train"), test=open_data(real / "test"), **sides)


@pytest.mark.parametrize(
    ("teacher", "student", "control", "verdict"),
    [
        ("others", "copies", 1, "fail"),
        ("copies", "others", 1, "cannot be determined"),
        ("copies", "others", 10, "pass"),
    ],
)
def test_an_audit_that_may_miss_copies_gives_no_pass(
    teacher: str, student: str, control: int, verdict: str, drawn: SimpleNamespace
) -> None:
    """Though the teacher's many copies are found: those of the student may be altered in a way that was not tried."""
    pair = same_plan(getattr(drawn, teacher), getattr(drawn, student))
    row = judged([copies_kept(pair, drawn.train, drawn.test, [], control=control).row], lambda _: Margin(None, 0.01))[0]
    assert row.verdict == verdict
    assert ("too few to prove the absence" in row.note) == (control < 10)
    assert (row.high == 1) == (control < 10)
