"""The audit of copies on the page: rates, controls, and the nearest pairs side by side."""

from __future__ import annotations

import pandas as pd

from evalsuite.images.image_data import ImageData
from evalsuite.images.privacy.audit import CopyAudit
from evalsuite.images.privacy.reidentification import SAYS
from evalsuite.images.privacy.thumbnails import thumbnails_of
from evalsuite.page.blocks import Plot, Table, Thumbnails
from evalsuite.page.image_check import Axis, ImageCheck, frame_table, interval_texts, thumbnails

PAIRS = 12  # nearest pairs that are shown


def privacy_section(
    audit: CopyAudit, train: ImageData, synthetic: ImageData, unseen: ImageData | None = None
) -> ImageCheck:
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
    if len(audit.reidentification):
        copies.append(reidentification_shown(audit.reidentification))
    copies += _nearest_pairs(audit, train, synthetic)
    copies += _left_out_pairs(audit, train, train if unseen is None else unseen)
    by_skin_type = frame_table(_rates_shown(audit.rates[by_group]), "Share of copies by skin type")
    shown: dict[Axis, list[Table | Plot | Thumbnails]] = {"privacy": copies, "fairness": [by_skin_type]}
    return ImageCheck("Copies of training images", audit.sentence, audit.status, shown)


def reidentification_shown(table: pd.DataFrame) -> Table:
    """The encoders alone, a column each: nearness of synthetic and unseen images, and what the encoder knows again."""
    again = table[["one_patient", "one_patient_low", "one_patient_high"]]
    rows = {
        "synthetic images": [str(n) for n in table["images"]],
        "their cosine to the nearest training image: mean, largest": _cosines(table, "mean", "largest"),
        "that of unseen real images: mean, largest": _cosines(table, "unseen_mean", "unseen_largest"),
        "threshold": _cosines(table, "threshold"),
        "share of synthetic images above it": interval_texts(table),
        "says": [SAYS[status] for status in table["status"]],
        "share of planted copies above it": [f"{share:.3f}" for share in table["planted"]],
        "share above it of training images with another one of their patient": interval_texts(again, *again.columns),
    }
    caption = (
        "Can a patient be recognised? Nearness in each encoder alone. The last two rows say what it recognises "
        "at this threshold; where they are low, few images above it prove little"
    )
    return Table(["", *table["encoder"]], [[word, *texts] for word, texts in rows.items()], caption)


def _cosines(table: pd.DataFrame, *columns: str) -> list[str]:
    return [", ".join(f"{value:.4f}" for value in row) for row in table[list(columns)].itertuples(index=False)]


def _nearest_pairs(audit: CopyAudit, train: ImageData, synthetic: ImageData) -> list[Thumbnails]:
    """The nearest synthetic image of each of the `PAIRS` training images that have the nearest ones."""
    ranked = audit.images.assign(over=audit.images["score"] - audit.images["threshold"])
    ranked = ranked.sort_values("over", ascending=False, kind="stable")
    nearest = ranked.drop_duplicates("nearest").head(PAIRS)
    if nearest.empty:
        return []
    made, known = thumbnails_of(synthetic, nearest["id"]), thumbnails_of(train, nearest["nearest"])
    copies = audit.images[audit.images["copy"]]["nearest"].value_counts()
    cells = []
    columns = (nearest[c] for c in ("id", "nearest", "copy", "score", "threshold"))
    for id, other, copy, score, threshold in zip(*columns, strict=True):
        verdict = f"COPY {score:.1f} > {threshold:.1f}" if copy else f"no copy {score:.1f} < {threshold:.1f}"
        more = f", {copies[other]} copies" if copies.get(other, 0) > 1 else ""
        cells += [(made[id], f"{verdict} {id}"), (known[other], f"{other}{more}")]
    caption = (
        "Nearest pairs, nearest first: a synthetic image, then its training image. Each training image is shown once, "
        "with the synthetic image nearest to it. The first number is the nearness, in spreads above the median of "
        "unseen real images, and the second the threshold, above which an image is called a copy."
    )
    return [thumbnails(cells, 6, caption)]


def _left_out_pairs(audit: CopyAudit, train: ImageData, unseen: ImageData) -> list[Thumbnails]:
    """Real images that show a lesion of the training set, to be looked at."""
    pairs = audit.left_out.sort_values("distinct", ascending=False).head(PAIRS)
    if pairs.empty:
        return []
    left, known = thumbnails_of(unseen, pairs["id"]), thumbnails_of(train, pairs["nearest"])
    cells = []
    for id, other, by in zip(pairs["id"], pairs["nearest"], pairs["distinct"], strict=True):
        cells += [(left[id], f"{by:.1f} {id}"), (known[other], str(other))]
    caption = (
        f"{len(pairs)} of {len(audit.left_out)} real images that are left out of the calibration, each before the "
        "training image of the same lesion, and by how much it stands out (`evalsuite leak` lists such pairs)"
    )
    return [thumbnails(cells, 6, caption)]


def _rates_shown(rates: pd.DataFrame) -> pd.DataFrame:
    shown = rates.assign(share=interval_texts(rates))[["cell", "how", "n", "copies", "share"]]
    return shown.rename(columns={"how": "judged by", "n": "images"})
