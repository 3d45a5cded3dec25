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
        copies.append(_reidentification(audit.reidentification))
    copies += _nearest_pairs(audit, train, synthetic)
    copies += _left_out_pairs(audit, train, train if unseen is None else unseen)
    by_skin_type = frame_table(_rates_shown(audit.rates[by_group]), "Share of copies by skin type")
    shown: dict[Axis, list[Table | Plot | Thumbnails]] = {"privacy": copies, "fairness": [by_skin_type]}
    return ImageCheck("Copies of training images", audit.sentence, audit.status, shown)


def _reidentification(table: pd.DataFrame) -> Table:
    """The encoders alone: nearness of synthetic and of unseen real images, and what each encoder can recognise."""
    cosine = [f"{row.mean:.3f}, {row.largest:.3f}" for row in table.itertuples()]
    real = [f"{row.unseen_mean:.3f}, {row.unseen_largest:.3f}" for row in table.itertuples()]
    again = table[["one_patient", "one_patient_low", "one_patient_high"]]
    shown = pd.DataFrame(
        {
            "encoder": table["encoder"],
            "images": table["images"],
            "synthetic: mean, largest": cosine,
            "unseen real: mean, largest": real,
            "threshold": table["threshold"],
            "share above": interval_texts(table),
            "says": table["status"].map(SAYS),
            "planted copies found": table["planted"],
            "another photograph of the patient found": interval_texts(again, *again.columns),
        }
    )
    caption = (
        "Can a patient be recognised? Cosine to the nearest training image in each encoder alone. The last columns say "
        "what the encoder recognises at this threshold; where they are low, few images above it prove little"
    )
    return frame_table(shown, caption)


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
