"""Tables of features, one row per image: written once, read by every arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermforge.common import tables
from dermforge.common.errors import UserError
from dermforge.common.texts_as_values import whole_number
from shards.mixing.tensors import TensorSet

#: The column that tells images of several generators apart, and its value for a real image.
GENERATOR, REAL = "generator", -1


@dataclass(frozen=True)
class FeatureTable:
    """Features by image.

    Attributes
    ----------
    row
        Row of each image by (generator, id); the generator is REAL for real images, and for all images of a table
        without generators.
    by_generator
        Whether the table names generators: two of them may then have used the same ids.
    """

    path: Path
    row: dict[tuple[int, str], int]
    values: Tensor
    by_generator: bool

    def stand_in(self, images: TensorSet, generators: NDArray[np.int64]) -> TensorSet:
        """The images with their features in place of pixels.

        Raises
        ------
        UserError
            The table lacks some of them.
        """
        makers = generators.tolist() if self.by_generator else [REAL] * images.n
        keys = list(zip(makers, images.rows["id"], strict=True))
        missing = [key[1] for key in keys if key not in self.row]
        if missing:
            raise UserError(
                f"{self.path} lacks the features of {len(missing)} images of {images}, the first {missing[0]}; compute "
                "them for all"
            )
        return images.with_values(self.values[torch.tensor([self.row[key] for key in keys])])


def read_features(path: Path) -> FeatureTable:
    """Read a table with the columns id, f0, f1, ...: anybody's embedding.

    Raises
    ------
    UserError
        No such file, no table, no `id`, no feature columns, repeated ids, or values that are not finite.
    """
    frame = tables.read_table(path)
    numbered = {str(c): whole_number(str(c)[1:]) for c in frame.columns if str(c)[:1] == "f"}
    columns = sorted((c for c, n in numbered.items() if n is not None), key=lambda c: int(c[1:]))
    if "id" not in frame.columns or not columns:
        raise UserError(f"features {path}: columns {', '.join(map(str, frame.columns[:5]))}; expected id, f0, f1, ...")
    values = torch.tensor(frame[columns].to_numpy(np.float32))
    if not torch.isfinite(values).all():
        raise UserError(f"features {path}: NaN or infinity among the values; write it again")
    known = GENERATOR in frame.columns
    if known and not pd.api.types.is_integer_dtype(frame[GENERATOR]):
        raise UserError(
            f"features {path}: text or fractions in the column {GENERATOR}; expected {REAL} for a real "
            "image, else the generator's place, from 0, in the order of the synthetic folders"
        )
    makers = frame[GENERATOR].tolist() if known else [REAL] * len(frame)
    keys = list(zip(makers, frame["id"].astype(str), strict=True))
    row = {key: i for i, key in enumerate(keys)}
    if len(row) < len(keys):
        twice = next(key[1] for i, key in enumerate(keys) if row[key] != i)
        raise UserError(f"features {path}: the id {twice} appears twice; expected one row per image")
    return FeatureTable(path, row, values, known)


def to_frame(sets: Sequence[TensorSet], generators: NDArray[np.int64]) -> pd.DataFrame:
    """The table that `read_features` reads, of sets that hold features.

    Parameters
    ----------
    generators
        The generator of each image of all sets; `REAL` for a real one.
    """
    values = torch.cat([batch for images in sets for batch in images.batches(4096)]).numpy()
    frame = pd.DataFrame(values, columns=[f"f{i}" for i in range(values.shape[1])])
    frame.insert(0, "id", [name for images in sets for name in images.rows["id"]])
    frame.insert(1, GENERATOR, generators)
    return frame
