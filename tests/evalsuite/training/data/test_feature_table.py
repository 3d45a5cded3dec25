"""Features go to a table and back, each to its own image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from training_helpers import images

from dermforge.common.errors import UserError
from evalsuite.training.data.feature_table import REAL, read_features, to_frame


def test_a_table_of_features_reads_back(tmp_path: Path) -> None:
    """Real images and those of two generators with the same ids; a table without an image is refused."""
    real, made = images(6, width=4), images(9, width=4, synthetic=True, name="s")
    other = made.with_values(-next(made.batches(9)))
    makers = np.array([REAL] * 6 + [0] * 9 + [1] * 9)
    to_frame([real, made, other], makers).to_parquet(tmp_path / "f.parquet", index=False)
    table = read_features(tmp_path / "f.parquet")
    for one, generator in ((real, REAL), (made, 0), (other, 1)):
        shuffled = images(one.n, synthetic=generator != REAL, name="r" if generator == REAL else "s").take([2, 0, 5])
        found = table.stand_in(shuffled, np.full(3, generator))
        assert torch.equal(next(found.batches(3)), next(one.take([2, 0, 5]).batches(3)))
    with pytest.raises(UserError, match=r"lacks the features of 3 images of .*, the first x0-000"):
        table.stand_in(images(3, name="x"), np.full(3, REAL))
