"""Columns are matched without case, spaces and punctuation; cells that say nothing are missing."""

from __future__ import annotations

import pandas as pd

from shards.ingest.tables.columns import facts_of, folded, resolve


def test_columns_by_any_spelling() -> None:
    names = ["File", "LABEL", "F S T", "Patient-ID", "SPLIT"]
    table = pd.DataFrame([["x.jpg", "nevus", "II", "p1", "Train"]], columns=names)
    columns = resolve(table, {})
    assert columns == {
        **{"file": "File", "class": "LABEL", "group": "F S T", "cluster": "Patient-ID", "split": "SPLIT", "id": None}
    }
    facts = facts_of(dict(zip(names, table.iloc[0], strict=True)), columns)
    assert (facts["class"], facts["group"], facts["cluster"], facts["split"]) == ("nevus", "II", "p1", "train")
    assert folded(" Image_Name ") == "imagename"


def test_the_column_that_names_files_most_often_is_taken() -> None:
    """A column `path` may hold addresses of another machine."""
    table = pd.DataFrame({"path": ["s3://a", "s3://b"], "image_id": ["a", "b"], "label": ["x", "y"]})
    assert resolve(table, {}, {"a", "b"}.__contains__)["file"] == "image_id"


def test_columns_of_folds_count_where_their_cells_are_splits() -> None:
    table = pd.DataFrame({"file": ["a", "b"], "label": ["x", "y"], "fold": ["1", "2"], "set": ["dev", "TEST"]})
    assert resolve(table, {})["split"] == "set"
    assert resolve(table.drop(columns="set"), {})["split"] is None


def test_ids_count_where_they_are_all_different() -> None:
    table = pd.DataFrame({"file": ["a", "b"], "label": ["x", "y"], "id": ["1", "1"]})
    assert resolve(table, {})["id"] is None
    assert resolve(table.assign(id=["1", "2"]), {})["id"] == "id"


def test_missing_cells_are_no_words() -> None:
    columns = {"class": "label", "group": "fst", "cluster": "patient"}
    for word in ("NA", "n/a", "Unknown", "NONE_SELECTED", " ", "-", "?", "[]", "null"):
        facts = facts_of({"label": word, "fst": word, "patient": word, "site": word}, columns)
        assert (facts["class"], facts["group"], facts["cluster"], facts["attributes"]) == (None, None, None, {})
    assert facts_of({"label": "-1", "fst": "-1"}, columns)["class"] == "-1"
    assert facts_of({"label": "-1", "fst": "-1.0"}, columns)["group"] is None
    assert facts_of({"label": "none of these", "fst": "3.0"}, columns)["group"] == "3"
