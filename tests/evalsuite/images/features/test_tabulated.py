"""Features that another program computed, by image id: looked up, whole or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_helpers import phantom_set

from dermforge.common.errors import UserError
from evalsuite.images.features.extract import Preprocess, extract
from evalsuite.images.features.extractors import open_extractor


def table(folder: Path, ids: list[str], width: int) -> Path:
    values = np.random.default_rng(0).normal(size=(len(ids), width)).astype(np.float32)
    frame = pd.DataFrame(values, columns=[f"f{i}" for i in range(width)])
    frame.insert(0, "id", ids)
    frame.to_parquet(folder / "derm.parquet")
    return folder / "derm.parquet"


def test_features_are_looked_up_by_id_in_any_order(tmp_path: Path) -> None:
    data = phantom_set(5)
    ids = [sample.id for sample in data.samples]
    file = table(tmp_path, ids[::-1], 3)
    found = extract(data, open_extractor(f"features:{file}"), Preprocess(32), tmp_path / "kept")
    expected = pd.read_parquet(file).set_index("id").loc[ids].to_numpy()
    np.testing.assert_array_equal(found.take(), expected)
    assert found.extractor.metric("KD").startswith("KD[derm@")


def test_images_without_features_are_refused(tmp_path: Path) -> None:
    file = table(tmp_path, ["p0", "p1"], 3)
    with pytest.raises(UserError, match=r"lacks the features of 2 of 4 images, the first p2"):
        extract(phantom_set(4), open_extractor(f"features:{file}"), Preprocess(32), tmp_path)
    with pytest.raises(UserError, match=r"it has none for 1 others"):
        open_extractor(f"features:{file}").embed(np.zeros((1, 8, 8, 3), np.uint8))


def test_derm_foundation_takes_its_own_width_only(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3 numbers per image; derm-foundation has 6144"):
        open_extractor(f"derm-foundation={table(tmp_path, ['p0'], 3)}")
    whole = open_extractor(f"derm-foundation={table(tmp_path, ['p0', 'p1'], 6144)}")
    assert whole.name.startswith("derm-foundation@")
    two = pd.DataFrame({"id": ["a", "a"], "generator": [0, 1], "f0": [0.0, 1.0]})
    two.to_parquet(tmp_path / "two.parquet")
    with pytest.raises(UserError, match="without that column"):
        open_extractor(f"features:{tmp_path / 'two.parquet'}")
