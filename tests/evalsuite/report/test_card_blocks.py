"""The blocks of a fairness card: nothing empty is shown."""

from __future__ import annotations

import pytest

from evalsuite import selfcheck
from evalsuite.fairness.card import CardSettings
from evalsuite.fairness.compute_card import compute_card
from evalsuite.page.blocks import Plot, Table
from evalsuite.report.card_blocks import card_blocks
from evalsuite.selfcheck import Group


@pytest.mark.parametrize(("n", "shown"), [(120, True), (3, False)])
def test_gaps_are_shown_or_it_is_said_why_there_is_none(n: int, shown: bool) -> None:
    card = compute_card(selfcheck.table([Group("a", n, 0.8), Group("b", n, 0.6)], 0), ["fst"], CardSettings())
    blocks = card_blocks(card)
    tables = [block for block in blocks if isinstance(block, Table)]
    assert all(table.rows for table in tables)
    assert any("Largest difference" in table.caption for table in tables) == shown
    assert any("Gaps by" in block.svg for block in blocks if isinstance(block, Plot)) == shown
    assert ("No difference between groups: a gap needs two groups with enough data." in blocks) != shown
