"""Leaks between the splits of a data set, on a page with pictures."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from evalsuite.images.image_data import ImageData
from evalsuite.images.privacy.reshots import DISTINCT
from evalsuite.images.privacy.thumbnails import thumbnails_of
from evalsuite.page.blocks import Answer, Report, Section, Thumbnails
from evalsuite.page.image_check import frame_table, thumbnails

SHOWN = 60  # pairs on the page; the table has all
CURE = (
    "Put all photographs of a lesion on one side: `shards make --cluster-column` does so by a column of lesions or "
    "patients. Where there is none, `shards make` keeps near duplicates together, which are a part of these."
)


def leak_sentence(pairs: pd.DataFrame) -> str:
    """What was found, in words."""
    images = pairs[["split", "id"]].drop_duplicates()
    if images.empty:
        return "No image shows a lesion of an earlier split."
    parts = [f"{n} of {split}" for split, n in images["split"].value_counts(sort=False).items()]
    return (
        f"{len(images)} images ({', '.join(parts)}) show a lesion of an earlier split: what is measured on them is "
        "measured on lesions that the model has seen."
    )


def leak_report(pairs: pd.DataFrame, counts: pd.DataFrame, splits: Mapping[str, ImageData]) -> Report:
    """The page: counts, and the pairs side by side, the most alike first."""
    shown = counts.rename(columns={"other_split": "earlier split", "n": "images", "same_class": "of the same class"})
    numbers = [
        (f"{row.split} in {row.other_split}", f"{row.leaked} of {row.n}", f"{row.same_class} of the same class")
        for row in counts.itertuples()
    ]
    note = (
        f"{min(SHOWN, len(pairs))} of {len(pairs)} pairs, those first that stand out most from other lesions that look "
        f"alike; the least that counts is {DISTINCT}. Under each picture: split, class, by how much it stands out, "
        "name. Look at them: a few may be two lesions."
    )
    sections = [
        Section("Splits", [frame_table(shown, "Images of a split that show a lesion of an earlier one"), CURE]),
        Section("Pairs", [_pairs(pairs.head(SHOWN), splits, note)] if len(pairs) else ["None."]),
    ]
    return Report("Does the split leak?", Answer(leak_sentence(pairs), numbers), sections)


def _pairs(pairs: pd.DataFrame, splits: Mapping[str, ImageData], caption: str) -> Thumbnails:
    pictures: dict[tuple[str, str], bytes] = {}
    for split, data in splits.items():
        ids = {*pairs.loc[pairs["split"] == split, "id"], *pairs.loc[pairs["other_split"] == split, "other"]}
        pictures |= {(split, id): jpeg for id, jpeg in thumbnails_of(data, ids).items()}
    cells = []
    for row in pairs.to_dict("records"):
        first = f"{row['split']} {row['class']} {row['distinct']:.1f} {row['id']}"  # a long label is cut at its end
        cells.append((pictures[row["split"], row["id"]], first))
        other = f"{row['other_split']} {row['other_class']} {row['other']}"
        cells.append((pictures[row["other_split"], row["other"]], other))
    return thumbnails(cells, 6, caption)
