"""From settings and counts to rows: the paper's experiment as a preset, other skin types, what needs parents."""

from __future__ import annotations

import pandas as pd
import pytest

from dermforge.common.errors import UserError
from gen.plan import grid, plan
from gen.plan.grid import PRESETS, GenerationSettings
from gen.plan.prompts import PAPER_WITH_GROUP

TEMPLATE = "An image of {class}, {group} skin"
PARENTS = pd.DataFrame({"id": ["p1", "p2"], "class": ["plaque", "ulcer"], "group": ["dark", None]})


def test_the_papers_experiment_is_a_preset() -> None:
    """Sagers 2023: three strategies, 10 images of each parent, DPM-Solver++, 50 steps, guidance 3, 512 px."""
    paper = PRESETS["sagers2023"]
    counts = grid.of_parents(PARENTS, 10)
    rows = plan.from_rows(grid.rows(paper, PAPER_WITH_GROUP, counts, PARENTS)).rows()
    assert len(rows) == 3 * 10 * 2
    by = {s: [r for r in rows if r.strategy == s] for s in ("text-to-image", "inpaint", "inpaint-outpaint")}
    assert {r.strength for r in by["inpaint"]} == {0.97}
    assert {r.strength for r in by["inpaint-outpaint"]} == {0.95}
    assert {r.mask for r in by["inpaint"]} == {"centre"}
    assert {r.parent for r in by["text-to-image"]} == {None}  # such an image owes nothing to one real image
    assert {r.parent for r in by["inpaint"]} == {"p1", "p2"}
    assert {(r.steps, r.guidance, r.size, r.guidance_interval) for r in rows} == {(50, 3.0, 512, None)}
    assert {r.prompt for r in rows} == {
        "An image of plaque, a skin disease, Fitzpatrick skin type dark",
        "An image of ulcer, a skin disease, Fitzpatrick skin type unknown",
    }


def test_fast_differs_from_the_paper_in_steps_and_interval_only() -> None:
    paper, fast = vars(PRESETS["sagers2023"]), vars(PRESETS["fast"])
    assert {k for k in paper if paper[k] != fast[k]} == {"steps", "guidance_interval"}


def test_parents_can_be_drawn_in_other_skin_types() -> None:
    """From majority to minority (Wang et al. 2024): a parent keeps its class and takes another skin type."""
    made = plan.from_rows(
        grid.rows(
            GenerationSettings(strategies=("image-to-image",), size=64),
            TEMPLATE,
            {},
            PARENTS,
            to_groups=["tan", "brown"],
        )
    )
    assert sorted({(r.parent, r.group) for r in made.rows()}) == [
        ("p1", "brown"),
        ("p1", "tan"),
        ("p2", "brown"),
        ("p2", "tan"),
    ]
    assert {r.strength for r in made.rows()} == {0.75}


def test_what_cannot_be_laid_out_is_refused() -> None:
    with pytest.raises(UserError, match="give parents"):
        list(grid.rows(GenerationSettings(strategies=("inpaint",)), TEMPLATE, {}))
    with pytest.raises(UserError, match="unknown strategy 'melt'"):
        list(grid.rows(GenerationSettings(strategies=("melt",)), TEMPLATE, {}))
    with pytest.raises(UserError, match="unknown preset 'paper'"):
        grid.settings_from("paper", {})


STUDENT = {"solver": "lcm", "steps": 4, "guidance": 1.0}


@pytest.mark.parametrize("usual", [STUDENT, {"solver": "lcm", "steps": 4, "base_steps": 1}])
@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_draws_a_student_as_other_models(preset: str, usual: dict[str, object]) -> None:
    """Unless everything that the student says of itself is said anew."""
    for left_out in usual:
        with pytest.raises(UserError, match=r"is a student that is drawn by solver lcm, steps 4.* leave out `preset`"):
            grid.settings_from(preset, usual | {left_out: None}, usual)
    chosen = vars(grid.settings_from(preset, usual, usual))
    assert {name: chosen[name] for name in usual} == usual
    assert grid.settings_from(preset, {}) == PRESETS[preset]
    assert grid.settings_from(None, {}, usual).solver == "lcm"


def test_changes_replace_what_a_preset_says() -> None:
    """None changes nothing."""
    changed = grid.settings_from("fast", {"steps": 7, "guidance": None})
    assert (changed.steps, changed.guidance, changed.strategies) == (7, 3.0, PRESETS["fast"].strategies)
    assert changed.row_defaults("An image")["prompt"] == "An image"
    assert grid.settings_from(None, {}).row_defaults("An image")["prompt"] == "An image"
