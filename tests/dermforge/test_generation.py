"""Images in memory are those that `gen sample` writes for the same plan and bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dermforge
from engines.engine import Engine


@pytest.fixture(scope="module")
def engine(workplace: Path) -> Engine:
    return dermforge.load_engine(str(workplace / "demo" / "bundle"))


def test_the_pixels_are_the_commands_in_the_order_of_the_rows(workplace: Path, engine: Engine) -> None:
    shards = dermforge.open_shards(workplace / "demo" / "shards")
    plan = pd.read_csv(workplace / "demo" / "shards" / "plan.csv").sample(9, random_state=0)
    images = dermforge.generate(engine, plan)
    for name, pixels in zip(plan["id"], images, strict=True):
        np.testing.assert_array_equal(pixels, shards.image_at(shards.position(name))[1])


def test_a_row_needs_no_more_than_a_class_and_a_skin_type(workplace: Path, engine: Engine) -> None:
    """Prompt, id and size come as in a plan of all classes and skin types, which the shards were made from."""
    shards = dermforge.open_shards(workplace / "demo" / "shards")
    plan = pd.read_csv(workplace / "demo" / "shards" / "plan.csv")
    first = plan[plan["id"].str.startswith("000000")].iloc[0]
    (image,) = dermforge.generate(
        engine, [{"id": first["id"], "class": first["class"], "group": first["group"], "steps": 4}]
    )
    np.testing.assert_array_equal(image, shards.image_at(shards.position(first["id"]))[1])
    one, other = dermforge.generate(engine, [{"class": "plaque", "group": "dark", "steps": 2}] * 2)
    assert (one != other).any()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a", "group": "dark"}, "rows, row 1 has no class$"),
        ({"class": "plaque", "group": "dark", "steps": 0}, "rows, row 1: steps: .*greater than or equal to 1, got 0"),
        ({"class": "plaque", "group": "dark", "size": 128}, "asks for 128 px and the engine makes 64 px"),
        ({"class": "melanoma", "group": "dark"}, "asks a model of phantoms for melanoma"),
        ({"class": "plaque", "group": "dark", "strategy": "inpaint", "parent": "p1"}, "1 parents"),
    ],
)
def test_a_row_that_cannot_be_generated_is_a_value_error(engine: Engine, row: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dermforge.generate(engine, [row])


def test_a_skin_type_that_the_model_does_not_know_is_a_warning(engine: Engine) -> None:
    with pytest.warns(UserWarning, match="not tuned on the skin types VI"):
        dermforge.generate(engine, [{"class": "plaque", "group": "VI", "steps": 2}])


def test_no_bundle_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bundle"):
        dermforge.load_engine(tmp_path)
