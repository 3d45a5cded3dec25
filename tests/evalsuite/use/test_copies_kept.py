"""Which of the generators' training images the audit of copies must have searched."""

from __future__ import annotations

import pytest

from dermforge.common.id_ranges import unrecorded
from evalsuite.use.copies_kept import _searched

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
