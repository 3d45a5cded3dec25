"""The audit of copies on the page: rates, controls, and the nearest pairs side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from evalsuite.images.image_data import ImageData
from evalsuite.images.privacy.audit import CopyAudit
from evalsuite.page.blocks import Plot, Table, Thumbnails
from evalsuite.page.image_check import Axis, ImageCheck, frame_table, interval_texts, thumbnails

PAIRS = 12  # nearest pairs that are shown


def privacy_section(audit: CopyAudit, train: ImageData, synthetic: ImageData) -> ImageCheck:
    """The section of the page on copies, with the nearest pairs side by side."""
    by_group = audit.rates["family"] == "group"
    finer = audit.rates["family"].isin(["overall", "class", "strategy"])
    caption = "Share of copies; of inpainted photographs only the redrawn part is judged"
    control = audit.control.assign(share=interval_texts(audit.control))
    control = control[["kind", "n", "found", "share", "original_named"]]
    control.columns = ["kind", "planted", "found", "share found", "share whose original is named"]
    copies: list[Table | Plot | Thumbnails] = [
        frame_table(_rates_shown(audit.rates[finer]), caption),
        frame_table(control, "Positive control: copies of training images planted among the audited images"),
    ]
    copies += _nearest_pairs(audit, train, synthetic)
    by_skin_type = frame_table(_rates_shown(audit.rates[by_group]), "Share of copies by skin type")
    shown: dict[Axis, list[Table | Plot | Thumbnails]] = {"privacy": copies, "fairness": [by_skin_type]}
    return ImageCheck("Copies of training images", audit.sentence, audit.status, shown)


def _nearest_pairs(audit: CopyAudit, train: ImageData, synthetic: ImageData) -> list[Thumbnails]:
    """The nearest synthetic image of each of the `PAIRS` training images that have the nearest ones."""
    ranked = audit.images.assign(over=audit.images["score"] - audit.images["threshold"])
    ranked = ranked.sort_values("over", ascending=False, kind="stable")
    nearest = ranked.drop_duplicates("nearest").head(PAIRS)
    if nearest.empty:
        return []
    made, known = _thumbnails(synthetic, nearest["id"]), _thumbnails(train, nearest["nearest"])
    copies = audit.images[audit.images["copy"]]["nearest"].value_counts()
    cells = []
    columns = (nearest[c] for c in ("id", "nearest", "copy", "score", "threshold"))
    for id, other, copy, score, threshold in zip(*columns, strict=True):
        word = "COPY" if copy else "no copy"
        more = f", {copies[other]} copies" if copies.get(other, 0) > 1 else ""
        cells += [(made[id], f"{word}: {score:.1f} (threshold {threshold:.1f})"), (known[other], f"{other}{more}")]
    caption = (
        "Nearest pairs, nearest first: a synthetic image, then its training image. Each training image is shown once, "
        "with the synthetic image nearest to it. The number is the nearness, in spreads above the median of unseen "
        "real images; above the threshold an image is called a copy."
    )
    return [thumbnails(cells, 6, caption)]


def _rates_shown(rates: pd.DataFrame) -> pd.DataFrame:
    shown = rates.assign(share=interval_texts(rates))[["cell", "how", "n", "copies", "share"]]
    return shown.rename(columns={"how": "judged by", "n": "images"})


def _thumbnails(data: ImageData, ids: pd.Series[str]) -> dict[str, bytes]:
    rows = np.flatnonzero(data.rows["id"].isin(set(ids)).to_numpy())
    return {s.id: _thumbnail(image) for s, image in data.take(rows).images()}


def _thumbnail(image: NDArray[np.uint8], size: int = 96) -> bytes:
    """A small JPEG."""
    small = Image.fromarray(image)
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(np.asarray(small)), quality=85, colorspace="RGB"))
