"""No flipped byte of a sealed table goes unseen, and other readers read it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermforge.common.errors import UserError
from dermforge.common.sealed_parquet import sealed
from dermforge.common.tables import read_table
from evalsuite.fairness import predictions


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet((1, 1), 200)
    made = pd.DataFrame(
        {"id": [f"i{n}" for n in range(200)], "label": "a", "prob_a": probs[:, 0], "prob_b": probs[:, 1]}
    )
    made.attrs["classifier"] = "one"
    return made


def test_any_reader_reads_it(frame: pd.DataFrame, tmp_path: Path) -> None:
    """The values, the types and what the frame said of itself."""
    (tmp_path / "t.parquet").write_bytes(sealed(frame))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame)
    assert read_table(tmp_path / "t.parquet").attrs == {"classifier": "one"}
    assert sealed(frame) == sealed(frame)


def test_every_flip_is_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    """300 flips over the whole file, and every bit of its last 200 bytes and of the digest and its key."""
    whole, path = sealed(frame), tmp_path / "t.parquet"
    rng = np.random.default_rng(1)
    key = whole.rindex(b"dermforge.sha256")
    places = [*rng.integers(0, len(whole), 300), *range(len(whole) - 200, len(whole)), *range(key - 2, key + 82)]
    for at in map(int, places):
        torn = bytearray(whole)
        torn[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(torn)
        with pytest.raises(UserError, match=r"t\.parquet"):
            read_table(path)


def test_every_cut_is_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    whole, path = sealed(frame), tmp_path / "t.parquet"
    for size in (0, 1, 8, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"t\.parquet"):
            read_table(path)


def test_damage_to_the_table_of_another_program_is_no_crash(frame: pd.DataFrame, tmp_path: Path) -> None:
    """Without a digest some flips cannot be seen; those that can are one line."""
    whole, path = frame.to_parquet(None, index=False), tmp_path / "t.parquet"
    rng = np.random.default_rng(2)
    for at in map(int, [*rng.integers(0, len(whole), 200), *rng.integers(len(whole) - 3000, len(whole), 200)]):
        torn = bytearray(whole)
        torn[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(torn)
        with suppress(UserError):
            predictions.load(path)
