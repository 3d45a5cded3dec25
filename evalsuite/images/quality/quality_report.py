"""Fidelity, diversity and utility of synthetic images: every extractor's tables, a verdict and the report section."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from evalsuite.images.features.extract import Features, Preprocess, extract
from evalsuite.images.features.extractors import Extractor, open_extractors
from evalsuite.images.features.names import DEFAULT_EXTRACTORS
from evalsuite.images.features.nearest import nearest_distance
from evalsuite.images.image_data import ImageData, ImageSource, Track, image_side, open_images, open_real, untracked
from evalsuite.images.quality.agreement import TOLD, agreement_table, by_extractor, joint_verdict
from evalsuite.images.quality.alignment import COLUMNS, KINDS, alignment_table, prompts_of
from evalsuite.images.quality.quality_table import NONE, quality_table
from evalsuite.images.quality.utility import utility_table
from evalsuite.page.blocks import Plot, Table, Thumbnails
from evalsuite.page.image_check import Axis, ImageCheck, Status, frame_table
from evalsuite.stats.estimate import Estimate

Pairs = Sequence[tuple[Features, Features]]
DIVERSITY = ("recall", "coverage", "Vendi")


@dataclass(frozen=True)
class QualityReport:
    """What `measure_quality` found.

    Attributes
    ----------
    images
        One row per synthetic image: id, class, group, strategy, and its distance to the nearest real image in each
        feature space.
    cells
        One row per metric of a cell (`quality_table`), extractor by extractor.
    utility
        One row per measure of the linear classifiers (`utility_table`).
    alignment
        How well synthetic images fit their prompts, by each encoder of images and texts (`alignment_table`); empty
        where there is none.
    sentence, status
        The verdict of all extractors: good where in none of their spaces a classifier can tell real from synthetic, and
        none where they contradict each other (`agreement.joint_verdict`).
    """

    images: pd.DataFrame
    cells: pd.DataFrame
    utility: pd.DataFrame
    sentence: str
    status: Status
    alignment: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def by_extractor(self) -> pd.DataFrame:
        """Each feature space's own verdict."""
        return by_extractor(self.cells, self.utility)

    @property
    def agreement(self) -> pd.DataFrame:
        """How far two feature spaces order classes, skin types and strategies alike."""
        return agreement_table(self.cells)


def measure_quality(
    *,
    real: ImageSource,
    synthetic: ImageSource,
    extractors: Sequence[Extractor | str] = DEFAULT_EXTRACTORS,
    preprocess: Preprocess | None = None,
    max_n: int = 5000,
    resamples: int = 100,
    seed: int = 0,
    folder: Path | None = None,
    track: Track = untracked,
) -> QualityReport:
    """Compare synthetic with real images: fidelity, diversity, precision and recall, accuracy scores.

    Parameters
    ----------
    real, synthetic
        Shards or a folder of images by path, an open set, or an array uint8 [n, h, w, 3]. Real images that the
        generator has not seen are the fair comparison.
    extractors
        Feature spaces, opened or by name (`evalsuite.images.features.names.SPECS`).
    preprocess
        What both sides go through first; None: squares of the synthetic images' side, JPEG at quality 95.
    max_n
        Most images of each side in a cell.
    resamples
        Bootstrap resamples of each interval.
    folder
        Keeps the features for the next call; None: a temporary folder.
    track
        Shows the progress of each pass over the images.

    Raises
    ------
    UserError
        A set holds no images, or an extractor cannot be opened.

    Examples
    --------
    >>> import numpy as np
    >>> real, synthetic = np.random.default_rng(0).integers(0, 256, (2, 40, 32, 32, 3), dtype=np.uint8)
    >>> report = measure_quality(real=real, synthetic=synthetic, extractors=["colour-structure"], resamples=10)
    >>> overall = report.cells[report.cells["family"] == "overall"]
    >>> overall["metric"].iloc[0], int(overall["n"].iloc[0])
    ('KD[colour-structure]', 40)
    """
    opened = open_real(real), open_images(synthetic, name="synthetic", origin="synthetic")
    networks = open_extractors(extractors)
    step = preprocess or Preprocess(image_side(opened[1]))
    with tempfile.TemporaryDirectory() as scratch:
        keep = folder or Path(scratch)
        pairs = [
            (extract(opened[0], n, step, keep, track=track), extract(opened[1], n, step, keep, track=track))
            for n in networks
        ]
        report = quality_report(pairs, max_n=max_n, seed=seed, resamples=resamples)
        return replace(report, alignment=_aligned(pairs, opened[1], resamples, seed))


def _aligned(pairs: Pairs, synthetic: ImageData, resamples: int, seed: int) -> pd.DataFrame:
    """The alignment with prompts by every encoder that reads texts."""
    able = [(real, made) for real, made in pairs if made.extractor.texts]
    if not able:
        return pd.DataFrame(columns=list(COLUMNS))
    prompts = prompts_of(synthetic)
    return pd.concat(
        [alignment_table(real, made, prompts, resamples=5 * resamples, seed=seed) for real, made in able],
        ignore_index=True,
    )


def quality_report(pairs: Pairs, *, max_n: int = 5000, seed: int = 0, resamples: int = 100) -> QualityReport:
    """The report on (real, synthetic) features of one or more extractors."""
    cells = pd.concat(
        [
            quality_table(r, s, max_n=max_n, seed=seed, resamples=resamples).assign(extractor=r.extractor.name)
            for r, s in pairs
        ],
        ignore_index=True,
    )
    utility = pd.concat(
        [utility_table(r, s, max_n=max_n, seed=seed).assign(extractor=r.extractor.name) for r, s in pairs],
        ignore_index=True,
    )
    return QualityReport(_per_image(pairs), cells, utility, *joint_verdict(cells, utility))


def _per_image(pairs: Pairs) -> pd.DataFrame:
    frame = pairs[0][1].frame[["id", "class", "group", "strategy"]].copy()
    for real, synthetic in pairs:
        frame[f"nearest_real[{real.extractor.name}]"] = nearest_distance(synthetic.values, real.values)
    return frame


def quality_section(report: QualityReport) -> ImageCheck:
    """The section of the page on fidelity, diversity and utility."""
    cells, utility = report.cells, report.utility
    shown: dict[Axis, list[Table | Plot | Thumbnails]] = {}
    if cells["extractor"].nunique() > 1:
        shown["fidelity"] = _compared(report)
    for name in cells["extractor"].unique():
        for axis, made in _tables_of(name, cells[cells["extractor"] == name], utility[utility["extractor"] == name]):
            shown.setdefault(axis, []).append(made)
    told, everyone = utility["metric"].str.startswith(TOLD), utility["family"] == "overall"
    parts: tuple[tuple[Axis, str, pd.DataFrame], ...] = (
        ("fidelity", "Can a linear classifier tell real from synthetic? AUC, 0.5: no", utility[told & everyone]),
        ("utility", "Does what a linear classifier learns carry over? Balanced accuracy", utility[~told & everyone]),
    )
    for axis, caption, part in parts:
        lines = [(row["metric"], row["n"], _estimate(row), row["note"]) for row in part.to_dict("records")]
        frame = pd.DataFrame(lines, columns=["metric", "n", "value", "remark"])
        shown.setdefault(axis, []).append(frame_table(frame, caption))
    if len(report.alignment):
        shown["fidelity"].append(_alignment_shown(report.alignment))
    return ImageCheck("Images", report.sentence, report.status, shown)


def _alignment_shown(alignment: pd.DataFrame) -> Table:
    """A row per cell and encoder, a column per kind of pair."""
    rows = []
    part = alignment[alignment["family"].isin(["overall", "class", "strategy"])]
    for (name, _, cell), found in part.groupby(["extractor", "family", "cell"], sort=False):
        by_kind = {str(row["kind"]): row for row in found.to_dict("records")}
        scores = {words: _estimate(by_kind[kind]) for kind, words in KINDS.items() if kind in by_kind}
        notes = dict.fromkeys(str(row["note"]) for row in by_kind.values() if row["note"])
        rows.append({"encoder": name, "cell": cell, **scores, "remark": "; ".join(notes)})
    caption = (
        "Do images show what their prompts say? CLIPScore's formula, 0 to 2.5: compare the first number with those "
        "beside it, as each encoder has a scale of its own. Where prompts of other classes score as high, the encoder "
        "cannot tell"
    )
    return frame_table(pd.DataFrame(rows).fillna(""), caption)


def _compared(report: QualityReport) -> list[Table | Plot | Thumbnails]:
    """The feature spaces side by side, and whether they put the cells in the same order."""
    overall = report.cells[report.cells["family"] == "overall"]
    told = report.utility[report.utility["metric"].str.startswith(TOLD) & (report.utility["family"] == "overall")]
    rows = []
    for name, status in report.by_extractor[["extractor", "status"]].itertuples(index=False):
        own = overall[overall["extractor"] == name]
        measures = {
            "kernel distance": own[own["metric"].str.startswith(("KD", "KID"))],
            "precision": own[own["metric"].str.startswith("precision")],
            "recall": own[own["metric"].str.startswith("recall")],
            "AUC, real or synthetic": told[told["extractor"] == name],
        }
        found = {
            word: _estimate(part.iloc[0].to_dict()) if len(part) else float("nan") for word, part in measures.items()
        }
        rows.append({"features": name, **found, "told apart?": _ANSWERS[status]})
    caption = (
        "Do the feature spaces agree? Each has a scale of its own for distances; the other numbers can be compared"
    )
    tables: list[Table | Plot | Thumbnails] = [frame_table(pd.DataFrame(rows), caption)]
    if len(orders := report.agreement):
        shown = pd.DataFrame(
            {
                "family": orders["family"],
                "feature spaces": orders["extractor"] + " and " + orders["other"],
                "cells": orders["cells"],
                "pairs: same order, opposite, all": [f"{o.same}, {o.opposite}, {o.pairs}" for o in orders.itertuples()],
                "Spearman": orders["spearman"],
                "says": orders["says"],
            }
        )
        caption = (
            "Do they order the cells alike, by the kernel distance? Pairs of cells that both spaces tell apart: the "
            "intervals do not overlap in either"
        )
        tables.append(frame_table(shown, caption))
    return tables


_ANSWERS: dict[str, str] = {"good": "no", "warn": "yes", "bad": "yes, plainly", "unknown": "cannot be determined"}


def _tables_of(name: str, cells: pd.DataFrame, utility: pd.DataFrame) -> list[tuple[Axis, Table]]:
    """One extractor's tables: a row per cell, a column per metric."""
    diverse, none = cells["metric"].str.startswith(DIVERSITY), cells["metric"] == NONE
    by_group = cells["family"] == "group"
    whole = cells["family"].isin(["overall", "floor", "class", "strategy"])
    equal = f"{name}, at equal n in every cell of a family"
    tables: list[tuple[Axis, Table]] = []
    axis: Axis
    for axis, word, kind in (("fidelity", "Fidelity", ~diverse), ("diversity", "Diversity", diverse | none)):
        caption = f'{word}, {equal}; "real against real" is what a perfect generator would score'
        tables += [
            (axis, frame_table(by_cell(cells[kind & whole]), caption)),
            ("fairness", frame_table(by_cell(cells[kind & by_group]), f"{word} by skin type, {equal}")),
        ]
    caption = (
        f"Linear classifiers by skin type of the tested images, {name}: balanced accuracy, and the AUC of "
        "real or synthetic"
    )
    tables.append(("fairness", frame_table(by_cell(utility[utility["family"] == "group"]), caption)))
    return [(axis, _unnamed(made, name)) for axis, made in tables if made.rows]


def _unnamed(table: Table, name: str) -> Table:
    """Without the extractor in the columns' names, which the caption names: long ones would leave the page."""
    return replace(table, head=[head.removesuffix(f"[{name}]").strip() for head in table.head])


def by_cell(long: pd.DataFrame) -> pd.DataFrame:
    """One row per cell: n, a column per metric (as text, with its interval), and why values are missing."""
    metrics = [m for m in long["metric"].unique() if m != NONE]
    records = []
    for (_, cell), part in long.groupby(["family", "cell"], sort=False):
        values = {row["metric"]: _estimate(row) for row in part.to_dict("records")}
        few, many = part["n"].min(), part["n"].max()
        records.append(
            {
                "cell": cell,
                "n": f"{few}" if few == many else f"{few} to {many}",
                **{m: values.get(m, float("nan")) for m in metrics},
                "remark": "; ".join(str(note) for note in part["note"].unique() if note),
            }
        )
    return pd.DataFrame(records)


def _estimate(row: dict[Hashable, Any]) -> str:
    return Estimate(row["value"], row["low"], row["high"], row["n"]).text(3, "g")
