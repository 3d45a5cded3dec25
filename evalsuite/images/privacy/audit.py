"""Copies among synthetic images: every image's nearest training image, rates with intervals, quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dermforge.common.errors import UserError
from evalsuite.images.features.extractors import Extractor
from evalsuite.images.features.features import (
    Features,
    ImageData,
    Preprocess,
    describe,
    extract,
    families,
    image_side,
    thumbnail,
)
from evalsuite.images.privacy import inpainted
from evalsuite.images.privacy.calibrate import Calibration, calibrate, measured_alarms
from evalsuite.images.privacy.planted_copies import ENOUGH, control_table, plant_copies
from evalsuite.images.privacy.search_index import Index, build, search
from evalsuite.images.quality.cells import FAMILIES, parts_of
from evalsuite.page.blocks import Plot, Table, Thumbnails
from evalsuite.page.measurement import Measurement, Status, frame_table, interval_texts, thumbnails
from evalsuite.stats.estimate import Estimate, share

SPACES = ("closeness", "apart", "distinct")  # phash misses crops: it is reported and takes no part in the decision
UNCLEARED = "bare skin around a lesion is as near to other bare skin as to a noised copy of itself"
MOST_SEARCHED = 1000  # training images that stand in for unseen ones where there is no test set


@dataclass(frozen=True)
class CopyAudit:
    """What was found, and what shows that the audit works.

    Attributes
    ----------
    table
        One row a synthetic image: id, class, group, strategy, nearest training image and nearness in each space,
        score, threshold, copy, and how it was judged (whole picture or part drawn anew).
    rates
        Share of copies, one row a cell.
    calibration, parts
        The thresholds of whole pictures and of parts drawn anew (None without inpainted images).
    floor
        The unseen real images that the threshold came from, scored.
    control
        Planted copies found, one row a kind (`control_table`).
    alarms
        Share of unseen real images called copies, cross-fitted.
    """

    table: pd.DataFrame
    rates: pd.DataFrame
    calibration: Calibration
    parts: Calibration | None
    floor: pd.DataFrame
    control: pd.DataFrame
    alarms: Estimate

    @property
    def quarantine(self) -> list[str]:
        """Ids of the images that are copies."""
        return sorted(self.table.loc[self.table["copy"], "id"])


def audit_copies(
    train: ImageData,
    synthetic: ImageData,
    folder: Path,
    *,
    test: ImageData | None = None,
    false_alarms: float = 0.01,
    extractors: Sequence[Extractor] = (),
    control: int = 20,
    seed: int = 0,
) -> CopyAudit:
    """Find synthetic images that reproduce a training image.

    Parameters
    ----------
    train
        The real images that the generator was tuned on.
    folder
        Where the prepared training set and features are kept.
    test
        Real images the generator has not seen: they set the threshold. Without them training images are searched
        for among the others, which is stricter on duplicates within the training set.
    extractors
        Feature spaces beside the pixels (SSCD, DINOv2, ...), by cosine.
    control
        Planted copies of each kind that the audit must find.
    """
    index = build(train, folder)
    planted = plant_copies(train, control, seed)
    if test is not None:
        _disjoint(index, test)
        unseen, source = search(index, test, "unseen images"), "unseen test images"
    else:
        ids = frozenset(index.frame["id"].sample(min(len(index.frame), MOST_SEARCHED), random_state=seed))
        unseen = search(index, train, "training images", leave_out_self=True, only=ids)
        source = "training images, each searched for among the others (no test set was given)"
    found, known = search(index, synthetic), search(index, planted, "planted copies")
    spaces = list(SPACES)
    for extractor in extractors:
        spaces.append(name := f"cosine[{extractor.name}]")
        best = cosines(train, (synthetic, planted, test), extractor, folder)
        for frame, nearest in zip((found, known, unseen), best, strict=True):
            frame[name] = frame["id"].map(nearest["cosine"])
            frame[f"nearest_{name}"] = frame["id"].map(nearest["nearest"])
    calibration = calibrate(unseen, tuple(spaces), false_alarms, source, families(unseen))
    for frame in (found, known, unseen):
        frame["score"] = calibration.score(frame)
        frame["copy"] = frame["score"] > calibration.threshold
    found["threshold"] = calibration.threshold
    parts = _judge_inpainted(found, synthetic, index, test, false_alarms, source)
    alarms = measured_alarms(unseen, tuple(spaces), false_alarms, seed=seed, family=families(unseen))
    return CopyAudit(found, rate_table(found), calibration, parts, unseen, control_table(known), alarms)


def _disjoint(index: Index, test: ImageData) -> None:
    train, unseen = index.frame, describe(test)
    same_content = set(train["image_sha256"]) & set(unseen["image_sha256"]) - {None, ""}
    shared = set(train["id"]) & set(unseen["id"]) | same_content
    if shared:
        raise UserError(
            f"{len(shared)} test images are in the training set ({min(shared)[:16]}, ...): they cannot calibrate it; "
            "give images that the generator has not seen"
        )


def _judge_inpainted(
    found: pd.DataFrame, synthetic: ImageData, index: Index, unseen: ImageData | None, false_alarms: float, source: str
) -> Calibration | None:
    """Replace the judgement of inpainted images: only the part drawn anew counts."""
    known = set(index.frame["id"])
    origins = zip(found["strategy"], found["parent"], strict=True)
    rows = np.flatnonzero(
        [inpainted.keeps_a_part(strategy, parent) and parent in known for strategy, parent in origins]
    )
    found["how"], found["kept"] = "whole picture", np.nan
    if not len(rows):
        return None
    parts, calibration = inpainted.judge_parts(synthetic.take(rows), index, unseen, false_alarms, source)
    parts = parts.loc[found["id"].iloc[rows]]
    for column in parts:
        found.loc[rows, column] = parts[column].to_numpy()
    found.loc[rows, "how"] = "part drawn anew"
    whole = ["structure", "apart", "distinct", "phash", *(name for name in found if str(name).startswith("cosine["))]
    found.loc[rows, whole] = np.nan  # of the whole picture, so of what was kept
    return calibration


def cosines(
    train: ImageData, others: Sequence[ImageData | None], extractor: Extractor, folder: Path
) -> list[pd.DataFrame]:
    """Largest cosine to a training image, and which (cosine, nearest; by id), for each of other sets.

    For None: of the training images to the rest.
    """
    step = Preprocess(image_side(train), None)
    known = extract(train, extractor, step, folder, what="training")
    return [
        _largest_cosine(
            known if other is None else extract(other, extractor, step, folder, what="compared"),
            known,
            same=other is None,
        )
        for other in others
    ]


def _largest_cosine(queries: Features, train: Features, *, same: bool, block: int = 1024) -> pd.DataFrame:
    own, ids = queries.frame["id"].to_numpy(), train.frame["id"].to_numpy()
    best, row = np.full(len(own), -np.inf), np.zeros(len(own), dtype=np.intp)
    for i in range(0, len(best), block):
        x, part = _unit(queries.values[i : i + block]), slice(i, i + block)
        for j in range(0, len(ids), block):
            cosine = x @ _unit(train.values[j : j + block]).T
            if same:
                cosine[own[part, None] == ids[None, j : j + block]] = -np.inf
            nearest = cosine.argmax(1)
            value = np.take_along_axis(cosine, nearest[:, None], 1)[:, 0]
            row[part] = np.where(value > best[part], j + nearest, row[part])
            best[part] = np.maximum(best[part], value)
    return pd.DataFrame({"cosine": best, "nearest": ids[row]}, index=own)


def _unit(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def rate_table(found: pd.DataFrame) -> pd.DataFrame:
    """Share of copies per class, group and strategy; inpainted images ("part drawn anew") apart from the others."""
    records = []
    for how, part in found.groupby("how", sort=False):
        for family, keys in FAMILIES.items():
            for name, cell in parts_of(part, keys):
                estimate = share(cell["copy"].to_numpy(dtype=bool), families(cell))
                records.append(
                    {
                        "how": how,
                        "family": family,
                        "cell": name,
                        "n": len(cell),
                        "copies": int(cell["copy"].sum()),
                        "rate": estimate.value,
                        "low": estimate.low,
                        "high": estimate.high,
                    }
                )
    return pd.DataFrame(records)


def verdict(audit: CopyAudit) -> tuple[str, Status]:
    """A sentence and a status; "unknown" where planted copies are missed or images outpainted: few prove little."""
    planted = audit.control.iloc[0]
    text = f"{int(audit.table['copy'].sum())} of {len(audit.table)} synthetic images are nearer to a training image "
    text += f"than unseen real images are. {audit.calibration.sentence()} "
    kinds = audit.control.iloc[1:]
    least = kinds.iloc[int(kinds["rate"].to_numpy().argmin())]
    text += f"Controls: {planted['found']} of {planted['n']} planted copies found"
    text += f" (of the {least['kind']} ones {least['found']} of {least['n']}), " if least["rate"] < ENOUGH else ", "
    text += f"{audit.alarms.text(3)} of left-out unseen images called copies."
    alarms = {"whole picture": audit.calibration, "part drawn anew": audit.parts}
    found = [_compared(part, known) for how, part in audit.table.groupby("how") if (known := alarms[str(how)])]
    ranks: tuple[Status, ...] = ("unknown", "good", "warn", "bad")
    worst = max(found, key=ranks.index, default=ranks[0])
    if planted["rate"] < ENOUGH and worst != "bad":
        return f"{text} Too few planted copies are found for this to prove the absence of copies.", "unknown"
    outpainted = audit.table["strategy"].eq("outpaint") & audit.table["how"].eq("part drawn anew")
    if outpainted.any() and worst != "bad":  # no planted copy shows it, and many training images hide it
        return f"{text} {outpainted.sum()} outpainted images are not cleared by this: {UNCLEARED}.", "unknown"
    return text, worst


def _compared(part: pd.DataFrame, known: Calibration) -> Status:
    """The rate of copies against that of false alarms, which is itself uncertain where few unseen images set it."""
    rate = share(part["copy"].to_numpy(dtype=bool), families(part))
    return "bad" if rate.low > known.worst else "warn" if rate.value > known.false_alarms else "good"


def privacy_section(audit: CopyAudit, train: ImageData, synthetic: ImageData, *, pairs: int = 12) -> Measurement:
    """The part of the report on copies, with the nearest pairs side by side."""
    text, status = verdict(audit)
    by_group = audit.rates["family"] == "group"
    finer = audit.rates["family"].isin(["overall", "class", "strategy"])
    caption = "Share of copies; the part drawn anew is judged apart where a photograph was inpainted"
    control = pd.DataFrame(
        {
            "kind": audit.control["kind"],
            "planted": audit.control["n"],
            "found": audit.control["found"],
            "share found": interval_texts(audit.control),
            "share whose original is named": audit.control["original_named"],
        }
    )
    copies: list[Table | Plot | Thumbnails] = [
        frame_table(_rates_shown(audit.rates[finer]), caption),
        frame_table(control, "Positive control: copies of training images planted among the audited"),
    ]
    nearest = audit.table.sort_values("score", ascending=False).head(pairs)
    if len(nearest):
        made, known = _thumbnails(synthetic, nearest["id"]), _thumbnails(train, nearest["nearest"])
        cells = []
        columns = (nearest[c] for c in ("id", "nearest", "copy", "score"))
        for id, other, copy, score in zip(*columns, strict=True):
            cells += [(made[id], "COPY" if copy else f"score {score:.1f}"), (known[other], str(other))]
        copies.append(thumbnails(cells, 6, "Nearest pairs: synthetic, then its training image"))
    by_skin_type = frame_table(_rates_shown(audit.rates[by_group]), "Share of copies by skin type")
    return Measurement("Copies of training images", text, status, {"privacy": copies, "fairness": [by_skin_type]})


def _rates_shown(rates: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cell": rates["cell"],
            "judged by": rates["how"],
            "images": rates["n"],
            "copies": rates["copies"],
            "share": interval_texts(rates),
        }
    )


def _thumbnails(data: ImageData, ids: pd.Series[str]) -> dict[str, bytes]:
    rows = np.flatnonzero(data.rows["id"].isin(set(ids)).to_numpy())
    return {s.id: thumbnail(image) for s, image in data.take(rows).images()}
