"""Features that another program has computed, by image id: for encoders that do not run here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dermforge.common.digests import digest_file
from dermforge.common.errors import UserError
from evalsuite.images.features.extractors import Extractor, Images


def tabulated(path: Path, name: str = "", width: int = 0) -> Extractor:
    """The features of a table with the columns id, f0, f1, ... (Parquet or CSV), one row per image of both sets.

    Parameters
    ----------
    name
        What the features are called; the file's name where it is not given.
    width
        How many numbers a feature must have; 0: any.
    """
    from evalsuite.training.data.feature_table import GENERATOR, REAL, read_features

    table, digest = read_features(path), digest_file(path)
    if table.by_generator:
        raise UserError(f"features {path}: a column {GENERATOR}; expected one row per image id, without that column")
    if width and table.values.shape[1] != width:
        raise UserError(f"features {path}: {table.values.shape[1]} numbers per image; {name} has {width}")

    def by_id(ids: Sequence[str]) -> NDArray[np.float32]:
        missing = [one for one in ids if (REAL, one) not in table.row]
        if missing:
            raise UserError(
                f"{path} lacks the features of {len(missing)} of {len(ids)} images, the first {missing[0]}; compute "
                "them for all images of both sets"
            )
        return np.asarray(table.values[[table.row[REAL, one] for one in ids]].numpy())

    def embed(images: Images) -> NDArray[np.float32]:
        raise UserError(f"{path} holds features of images that are known by id; it has none for {len(images)} others")

    return Extractor(f"{name or path.stem}@{digest[:8]}", f"features/{digest}", embed, by_id=by_id)
