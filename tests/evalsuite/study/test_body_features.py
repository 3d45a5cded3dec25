"""Features of a checkpoint's body, for generators that use the same ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from study_helpers import SEEDS, SIZES
from training_helpers import SMALL
from typer.testing import CliRunner

from dermforge.common.errors import UserError
from evalsuite.cli import PROGRAM
from evalsuite.study.body_features import FEATURES
from evalsuite.study.design import read_design
from evalsuite.training.data.datasets import open_data


def test_generators_with_equal_ids_keep_their_features_apart(
    phantom_shards: Path, generators: Path, tmp_path: Path
) -> None:
    """Features from the body of a checkpoint: each generator's own, although all of them use the same ids."""
    train = [
        "train",
        "--real",
        str(phantom_shards),
        "--out",
        str(tmp_path / "clf"),
        *SMALL,
        "--steps",
        "2",
        "--batch",
        "8",
    ]
    assert CliRunner().invoke(PROGRAM.app(), train).exit_code == 0
    words = [
        "study",
        "--real",
        str(phantom_shards),
        "--synthetic",
        str(generators / "made"),
        "--out",
        str(tmp_path / "out"),
        "--body",
        str(tmp_path / "clf"),
        "--n-real",
        "2,4",
        "--ratios",
        "1",
        "--seeds",
        "2",
        "--steps",
        "2",
        "--n-boot",
        "100",
        "--workers",
        "1",
    ]
    done = CliRunner().invoke(PROGRAM.app(), words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    table = pd.read_parquet(tmp_path / "out" / FEATURES)
    assert table["id"].duplicated().any()
    places = read_design(tmp_path / "out").places
    data = open_data(places)
    assert data.synthetic is not None
    values = torch.cat(list(data.synthetic.batches(100))).numpy()
    features = table[table["generator"] >= 0].filter(regex=r"^f\d+$").to_numpy()
    assert (values == features).all()
    same = (data.synthetic.rows["id"] == data.synthetic.rows["id"].iloc[0]).to_numpy()
    assert same.sum() == len(SIZES) * len(SEEDS)
    assert len(np.unique(values[same], axis=0)) == len(SIZES)  # the generators above draw other noise for each size
    mine = places.model_copy(update={"features": tmp_path / "mine.parquet"})
    for frame, said in (
        (table.drop(columns="generator"), "appears twice"),
        (table.assign(generator="mine"), "text or fractions in the column generator"),
    ):
        frame.to_parquet(tmp_path / "mine.parquet")
        with pytest.raises(UserError, match=said):
            open_data(mine)
    (tmp_path / "mine.parquet").write_bytes(b"PAR1 broken PAR1")
    with pytest.raises(UserError, match="cannot read the table"):
        open_data(mine)
