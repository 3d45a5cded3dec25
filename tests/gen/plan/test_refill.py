"""A plan for what a filter dropped: each row once more, under an id of its own."""

from __future__ import annotations

import re

import pytest

from dermforge.common.errors import UserError
from gen.plan import cells, grid, plan
from gen.plan.grid import GenerationSettings
from gen.plan.refill import refill
from shards.format.schema import ID_LENGTH, ID_PATTERN


def test_refill_makes_each_dropped_image_once_more_with_new_noise() -> None:
    counts = cells.uniform(["plaque", "ulcer"], ["dark", "very_light"], 3)
    made = plan.from_rows(grid.rows(GenerationSettings(size=64), "An image of {class}, {group}", counts))
    ids = [r.id for r in made.rows()]
    again = refill(made, ids[3:])
    assert [r.id for r in again.rows()] == [f"{i}-r1" for i in ids[:3]]
    assert [(r.label, r.group) for r in again.rows()] == [(r.label, r.group) for r in made.rows(0, 3)]
    assert [r.id for r in refill(again, [f"{ids[0]}-r1"]).rows()] == [f"{i}-r2" for i in ids[1:3]]
    with pytest.raises(UserError, match="not in the plan"):
        refill(made, ["stranger"])
    with pytest.raises(UserError, match="nothing to refill"):
        refill(made, ids)


def test_the_longest_ids_can_be_refilled_again_and_again() -> None:
    rows = [
        {"id": "a" * ID_LENGTH, "class": "x", "prompt": "x", "size": 64},
        {"id": "b", "class": "x", "prompt": "x", "size": 64},
    ]
    made = plan.from_rows(rows)
    for _ in range(3):
        made = refill(made, ["b"] if "b" in set(made.frame["id"]) else [])
        assert re.fullmatch(ID_PATTERN, made.frame["id"].iloc[0])
