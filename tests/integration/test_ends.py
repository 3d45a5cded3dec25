"""Every command that writes, ended at any call in any way, leaves before or after; run again, it finishes the same."""

from __future__ import annotations

import pytest
from ends import ENDS, Trial, Warm
from shards_helpers import write

#: Points of each end in the fast tests.
FEW = 3


@pytest.fixture(scope="module")
def select(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    before = tmp_path_factory.mktemp("select")
    write(before / "set", 6)
    return Trial(warm, "shards select {}/set --out {}/kept --group dark --shard-size 1", before)


@pytest.mark.parametrize("most", [FEW, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("end", ENDS)
def test_select(select: Trial, end: str, most: int | None) -> None:
    assert select.check(end, most) >= (most or 20)
