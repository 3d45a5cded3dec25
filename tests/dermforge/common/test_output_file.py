"""A file that somebody else made is never written over."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dermforge.common.errors import UserError
from dermforge.common.output_file import claim_table


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_with_the_callers_columns_is_free_and_another_is_not(tmp_path: Path, suffix: str) -> None:
    """Columns that a user added to it change nothing."""
    place = tmp_path / f"table{suffix}"
    claim_table(place, "a plan", ["id", "seed"])
    table = pd.DataFrame({"id": ["x"], "seed": [1], "remark": ["mine"]})
    for columns, free in ((["id", "seed", "remark"], True), (["id", "remark"], False)):
        held = table[columns]
        held.to_parquet(place) if suffix == ".parquet" else held.to_csv(place, index=False)
        if free:
            claim_table(place, "a plan", ["id", "seed"])
        else:
            with pytest.raises(UserError, match=r"table\.\w+ is there already and is not a plan"):
                claim_table(place, "a plan", ["id", "seed"])


def test_a_picture_and_a_folder_are_no_table(tmp_path: Path) -> None:
    (tmp_path / "photo.csv").write_bytes(b"\xff\xd8\xff\x00")
    with pytest.raises(UserError, match="is there already"):
        claim_table(tmp_path / "photo.csv", "a plan", ["id"])
    with pytest.raises(UserError, match="is a folder"):
        claim_table(tmp_path, "a plan", ["id"])
