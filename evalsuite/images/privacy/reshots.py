"""Photographs of one lesion in two sets of real images: copies, and pictures taken again."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from dermforge.common.errors import UserError
from evalsuite.images.image_data import ImageData, ImageSource, Track, open_images, open_real, untracked
from evalsuite.images.privacy.search_index import build, search
from shards import open_data
from shards.format.schema import SPLITS

#: Where two real photographs are taken for photographs of one lesion: least correlation of detail, and by how much (in
#: Fisher's z) it stands out from that with other lesions that look alike. Chosen on dermoscopy: docs/validation.md.
STRUCTURE, DISTINCT = 0.8, 0.9
MANY, PER_TENTH = 1000, 0.3  # images searched from which that holds; what is added for a tenth of them
COLUMNS = ("split", "id", "class", "other_split", "other", "other_class", "structure", "distinct")


def same_lesion(found: pd.DataFrame, searched: int) -> pd.Series[bool]:
    """Which rows of a `search` among so many images show the same lesion as their nearest image.

    The others among few images look less alike, so that an image stands out from them by chance: more is asked there.
    """
    least = DISTINCT + PER_TENTH * max(np.log10(MANY / searched), 0)
    same: pd.Series[bool] = (found["structure"] >= STRUCTURE) & (found["distinct"] >= least)
    return same


def open_splits(source: str | Path) -> dict[str, ImageData]:
    """The splits of a data set, in the order train, validation, test; UserError where there are fewer than two."""
    path = Path(source)
    nested = [name for name in SPLITS if (path / name).is_dir()]
    try:
        data = open_data(source)
    except UserError:
        if not nested:
            raise
        return _checked(source, {name: open_images(path / name) for name in nested})
    held = set(data.rows["split"].dropna())
    return _checked(source, {name: data.where(split=name) for name in SPLITS if name in held})


def _checked(source: ImageSource, splits: dict[str, ImageData]) -> dict[str, ImageData]:
    for part in splits.values():
        open_real(part)
    if len(splits) < 2:
        raise UserError(
            f"{source} holds the splits {', '.join(splits) or 'none'}; expected two of {', '.join(SPLITS)}, as folders "
            "or as a column `split`"
        )
    return splits


def find_leaks(splits: Mapping[str, ImageData], folder: Path, track: Track = untracked) -> pd.DataFrame:
    """Pairs of one lesion across splits, the most alike first; a row each with `COLUMNS`.

    Each image is searched for in every earlier split, and its nearest image there is named. A lesion with many
    photographs gives a row per photograph of the later split.
    """
    found = []
    for earlier, later in combinations(splits, 2):
        index = build(splits[earlier], folder, track)
        pairs = search(index, splits[later], f"{later} images among {earlier}", track=track)
        known = index.frame.set_index("id")["class"]
        pairs = pairs[same_lesion(pairs, len(index.frame))].rename(columns={"nearest": "other"})
        found.append(pairs.assign(split=later, other_split=earlier, other_class=pairs["other"].map(known)))
    table = pd.concat(found, ignore_index=True)[list(COLUMNS)]
    return table.sort_values("distinct", ascending=False, kind="stable", ignore_index=True)


def leak_counts(pairs: pd.DataFrame, splits: Mapping[str, ImageData]) -> pd.DataFrame:
    """Images of each later split that show a lesion of an earlier one, a row per two splits: n, leaked, same_class."""
    rows = []
    for earlier, later in combinations(splits, 2):
        part = pairs[(pairs["split"] == later) & (pairs["other_split"] == earlier)]
        same = int((part["class"] == part["other_class"]).sum())
        head = {"split": later, "other_split": earlier, "n": len(splits[later].rows)}
        rows.append(head | {"leaked": len(part), "same_class": same})
    return pd.DataFrame(rows)
