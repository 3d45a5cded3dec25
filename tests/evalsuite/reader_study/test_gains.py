"""The classifier's gain comes from a table or from a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dermforge.common.errors import UserError
from evalsuite.reader_study.gains import read_gains
from evalsuite.study.design import Design
from evalsuite.training.data import datasets
from evalsuite.training.recipe import make_recipe


def test_gains_come_from_a_table_or_from_a_run(tmp_path: Path) -> None:
    """The correlation needs no table made by hand: the recall of each class, with less without, over seeds."""
    table = tmp_path / "gains.csv"
    table.write_text("class,gain\na,0.1\nb,-0.2\n")
    assert read_gains(table)["gain"].tolist() == [0.1, -0.2]
    for text, message in (("class\na\n", "class and gain"), ("class,gain\na,much\n", "the gain of a is 'much'")):
        table.write_text(text)
        with pytest.raises(UserError, match=message):
            read_gains(table)
    with pytest.raises(UserError, match="no such file"):
        read_gains(tmp_path / "nowhere.csv")
    places = datasets.Places(real=tmp_path, synthetic=(tmp_path,))
    plan = Design(kind="run", places=places, recipe=make_recipe(), doses={4: (0, 2)}, seeds=2, controls=False)
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    for arm in plan.arms():  # "a" is always right; "b" is right in the mixed arm of the first seed only
        right = arm.kind == "mix" and arm.seed == 0
        frame = pd.DataFrame(
            {
                "id": ["1", "2"],
                "label": ["a", "b"],
                "prob_a": [1.0, 0.0 if right else 1.0],
                "prob_b": [0.0, 1.0 if right else 0.0],
            }
        )
        (tmp_path / "arms" / arm.name).mkdir(parents=True)
        frame.to_parquet(tmp_path / "arms" / arm.name / "predictions.parquet")
    assert read_gains(tmp_path).to_dict("list") == {"class": ["a", "b"], "gain": [0.0, 0.5]}
