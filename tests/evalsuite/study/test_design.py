"""The grid of a study: its arms, its controls, its presets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study_helpers import PLACES, new_grid

from dermforge.common.errors import UserError
from evalsuite.study.design import PRESETS, new_study
from evalsuite.study.kinds import CONTROLS
from evalsuite.study.names import Preset
from evalsuite.training.recipe import make_recipe


def test_a_study_holds_the_grid_and_all_controls() -> None:
    """No gain without the arms that could explain it away; equal steps in all."""
    names = [a.name for a in new_grid().arms()]
    assert len(names) == len(set(names)) == 3 * 4 * (3 + len(CONTROLS))
    assert {a.recipe.steps for a in new_grid().arms()} == {10}
    assert {a.ratio for a in new_grid().arms() if a.kind in CONTROLS} == {10.0}


def test_bad_grids_are_refused() -> None:
    """One line that says what a study needs."""
    with pytest.raises(UserError, match="not a study"):
        new_grid(sizes=(0,))
    with pytest.raises(UserError, match="not a study"):
        new_grid(seeds=0)


@pytest.mark.parametrize(
    ("name", "arms"), [("sagers2023", 5 * 7 * (9 + 4)), ("laptop", 3 * 4 * (4 + 4)), ("photographs", 5 * 4 * (4 + 4))]
)
def test_presets_are_the_grids_they_name(name: Preset, arms: int) -> None:
    """The published grid: 1 to 228 real images per class, up to 75 synthetic ones for each, five seeds."""
    grid = PRESETS[name]
    made = new_study(PLACES, make_recipe(**grid.recipe), grid)
    assert len(made.arms()) == arms
    if name == "photographs":
        everywhere = new_study(PLACES, make_recipe(**grid.recipe), replace(grid, control_doses="all"))
        assert len(everywhere.arms()) == 280  # as the help of --controls-at says, beside 160
    if name == "sagers2023":
        assert made.doses[228] == (0, 1, 2, 5, 10, 20, 25, 50, 75)
        assert made.sizes == [1, 8, 16, 32, 64, 128, 228]
