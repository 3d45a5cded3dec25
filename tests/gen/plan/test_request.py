"""From what is asked to a plan: cells of a model, a table, real data or parents; what contradicts is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dermforge.common.errors import UserError
from engines.pipeline_spec import PipelineSpec, read_spec
from gen.builtin import pipeline_folder
from gen.plan import grid
from gen.plan.grid import PRESETS, GenerationSettings
from gen.plan.parents import Parents
from gen.plan.request import CellRequest, new_plan
from shards.ingest.folder import open_data


@pytest.fixture(scope="module")
def spec() -> PipelineSpec:
    return read_spec(pipeline_folder())


def test_all_cells_of_the_model_get_the_same(spec: PipelineSpec) -> None:
    """In the model's own words; a template of the user's comes first."""
    made = new_plan(GenerationSettings(size=64), CellRequest(per_cell=2), spec)
    assert made.cells().shape == (6, 6)
    assert (made.cells() == 2).all(axis=None)
    assert made.rows(0, 1)[0].prompt == "An image of annulus, brown skin"
    mine = new_plan(GenerationSettings(size=64, template="{class}, {fst}!"), CellRequest(["ulcer"], ["dark"]), spec)
    assert {row.prompt for row in mine.rows()} == {"ulcer, dark!"}
    assert len(mine) == 32


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_no_preset_overrides_the_words_that_a_model_was_tuned_on(spec: PipelineSpec, preset: str | None) -> None:
    """The prompts name class and skin type by the model's own template, a learned word included."""
    tuned = spec.model_copy(update={"prompt_template": "An image of <{class}>, Fitzpatrick skin type {fst}"})
    settings = grid.settings_from(preset, {"size": 64, "strategies": ("text-to-image",)})
    for row in new_plan(settings, CellRequest(per_cell=1), tuned).rows():
        assert row.prompt == f"An image of <{row.label}>, Fitzpatrick skin type {row.group}".replace("_", " ")


def test_a_template_without_the_skin_type_is_refused_unless_asked_for(spec: PipelineSpec) -> None:
    """Rows would be labelled by a skin type that no prompt names."""
    settings = GenerationSettings(size=64, template="{class}!")
    with pytest.raises(UserError, match="does not name the skin type"):
        new_plan(settings, CellRequest(["ulcer"], ["dark"]), spec)
    made = new_plan(replace(settings, one_for_all=True), CellRequest(["ulcer"], ["dark"]), spec)
    assert {row.prompt for row in made.rows()} == {"ulcer!"}


def test_as_many_from_text_as_from_parents(images: Path) -> None:
    """Of the training images of the classes asked for; `per_cell` counts for itself."""
    parents = Parents(open_data(images), images)
    settings = GenerationSettings(("text-to-image", "inpaint"), per_parent=3, size=64)
    made = new_plan(settings, CellRequest(["plaque"]), None, parents).frame
    assert made["strategy"].value_counts().to_dict() == {"text-to-image": 12, "inpaint": 12}
    assert set(made["class"]) == {"plaque"}
    every = new_plan(settings, CellRequest(["plaque"], ["I"], per_cell=5), None, parents).frame
    assert every["strategy"].value_counts().to_dict() == {"inpaint": 12, "text-to-image": 5}


def test_what_contradicts_or_names_no_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exclude each other"):
        CellRequest(table=tmp_path, balance=tmp_path)
    with pytest.raises(UserError, match="0 images per cell"):
        CellRequest(per_cell=0)
    with pytest.raises(UserError, match="no classes; name them"):
        CellRequest().counts(None)


@pytest.mark.parametrize(
    ("classes", "groups", "named"),
    [(["psoriasis"], None, "unknown class psoriasis"), (None, ["7"], "unknown skin type 7")],
)
def test_a_class_that_the_model_does_not_know_is_refused(
    spec: PipelineSpec, classes: list[str] | None, groups: list[str] | None, named: str
) -> None:
    """Else the built-in model would draw phantoms under the name of a disease."""
    with pytest.raises(UserError, match=named):
        CellRequest(classes, groups).counts(spec)


@pytest.mark.parametrize("asked", ["per_cell", "table", "balance", "predictions"])
def test_a_number_of_images_from_text_is_refused_where_nothing_is_drawn_from_text(images: Path, asked: str) -> None:
    parents = Parents(open_data(images), images)
    settings = GenerationSettings(("inpaint",), size=64)
    wanted = CellRequest(["plaque"], **{asked: 2 if asked == "per_cell" else images})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="inpaint draws 1 images of each parent, and"):
        new_plan(settings, wanted, None, parents)


@pytest.mark.parametrize(
    ("strategies", "wanted", "said"),
    [
        (("text-to-image",), CellRequest(["plaque"], per_cell=2), "starts from no photograph, and per_cell says"),
        (("inpaint",), CellRequest(["plaque"], ["I"]), "leave out the groups"),
        (("text-to-image", "inpaint"), CellRequest(["plaque"], ["I"]), "leave out the groups"),
    ],
)
def test_photographs_or_skin_types_that_nothing_would_use_are_refused(
    images: Path, strategies: tuple[str, ...], wanted: CellRequest, said: str
) -> None:
    """Else images from text would pass for redrawn photographs, and all skin types for the one that was asked for."""
    with pytest.raises(UserError, match=said):
        new_plan(GenerationSettings(strategies, size=64), wanted, None, Parents(open_data(images), images))
