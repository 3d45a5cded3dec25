"""Did the requested skin tone come out? Requested against measured typology angle, in words and on the page."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.figure
import pandas as pd

from evalsuite.images.image_data import ImageSource, Track, open_images, open_real, untracked
from evalsuite.images.tone.cut_points import cut_points
from evalsuite.images.tone.measure_ita import METHOD
from evalsuite.images.tone.tone_table import LESION_CONTRAST, cell_table, image_table
from evalsuite.images.tone.tone_verdict import verdict
from evalsuite.page.blocks import Plot
from evalsuite.page.image_check import ImageCheck, Status, frame_table
from evalsuite.page.svg import as_svg
from evalsuite.stats.estimate import Estimate

#: Shown columns: title -> estimate, digits.
ORDER = {"order (Spearman)": ("spearman", 2), "order (Kendall)": ("kendall", 2)}
ASKED = {
    "share in the requested group": ("exact", 2),
    "share within one group": ("within_one", 2),
    "degrees outside the requested range": ("degrees_off", 1),
    "drift from real images, degrees": ("drift", 1),
}
LESIONS = {
    "share with a lesion": ("lesion_seen", 2),
    "its contrast": ("lesion_contrast", 1),
    "share that kept the parent's lesion": ("lesion_kept", 2),
}


@dataclass(frozen=True)
class ToneReport:
    """What `measure_tone` found.

    Attributes
    ----------
    images
        One row per image (`image_table`).
    cells
        One row per cell (`cell_table`), with an `Estimate` for each number that has an interval.
    sentence, status
        The verdict on the whole set (`tone_verdict.verdict`): good where requested and measured tone agree as well as
        in real images, in every skin type; unknown where that cannot be determined.
    """

    images: pd.DataFrame
    cells: pd.DataFrame
    sentence: str
    status: Status


def measure_tone(
    *, images: ImageSource, reference: ImageSource | None = None, cuts: str = "del-bino", track: Track = untracked
) -> ToneReport:
    """Measure the typology angle (ITA) on bare skin and compare it with the skin type that was requested.

    The requested skin type of an image is its `group`.

    Parameters
    ----------
    images
        Shards or a folder of images by path, an open set, or an array uint8 [n, h, w, 3], of which no skin type is
        known (`array_images` gives them some).
    reference
        Real images: the bar for order and distance, and from which drift is measured.
    cuts
        ITA cut-points: a name in `evalsuite.images.tone.cut_points.CUTS`, or five falling angles in degrees with
        commas between them.
    track
        Shows the progress of each pass over the images.

    Raises
    ------
    UserError
        A set holds no images, or the cut-points are unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from evalsuite.images.image_data import array_images
    >>> skin = np.full((1, 64, 64, 3), (224, 172, 140), dtype=np.uint8)
    >>> report = measure_tone(images=array_images(skin, groups=["light"]))
    >>> round(float(report.images["ita"].iloc[0]), 1)
    45.6
    """
    points = cut_points(cuts)
    real = None if reference is None else image_table(open_real(reference), points, track, "reference")
    measured = image_table(open_images(images), points, track)
    cells = cell_table(measured, real)
    return ToneReport(measured, cells, *verdict(cells, None if real is None else cell_table(real)))


def tone_section(report: ToneReport) -> ImageCheck:
    """The section of the page on tone."""
    cells = report.cells
    groups = cells[cells["family"] == "group"]
    others = cells[cells["family"].isin(["overall", "class", "strategy"])]
    asked = f"Typology angle (ITA, degrees) on bare skin ({METHOD}), requested against measured"
    lesion = f"Did the lesion stay? CIELAB contrast with the skin; from {LESION_CONTRAST:g} on it counts as seen"
    counts = "Images whose tone was measured, and what the others show instead"
    caption = "Measured angle for each requested group; boxes hold the middle half"
    return ImageCheck(
        "Skin tone",
        report.sentence,
        report.status,
        {
            "fidelity": [
                frame_table(_counts(others), counts),
                frame_table(_asked(others, order=True), asked),
                frame_table(_lesions(others), lesion),
            ],
            "fairness": [
                frame_table(_counts(groups), f"{counts}, by skin type"),
                frame_table(_asked(groups, order=False), f"{asked}, by skin type"),
                frame_table(_lesions(groups), f"{lesion}, by skin type"),
                *([Plot(_boxes(report.images), caption)] if report.images["ita"].notna().any() else []),
            ],
        },
    )


def _counts(cells: pd.DataFrame) -> pd.DataFrame:
    shown = cells[["cell", "n"]].set_axis(["cell", "images"], axis=1)
    shown["share measured"] = [e.text(2) for e in cells["measured"]]
    shown["not measured"] = cells["why"]
    return shown


def _asked(cells: pd.DataFrame, *, order: bool) -> pd.DataFrame:
    """Shown columns; the order is left out where a cell has one requested tone."""
    angles = zip(cells["ita_median"], cells["ita_q05"], cells["ita_q95"], strict=True)
    shown = pd.DataFrame({"cell": cells["cell"], "images": cells["n"]})
    shown["ITA: median (5 to 95 %)"] = [Estimate(*angle, 0).text(1) for angle in angles]
    return shown.join(_texts(cells, ORDER | ASKED if order else ASKED))


def _lesions(cells: pd.DataFrame) -> pd.DataFrame:
    head = cells[["cell", "n"]].set_axis(["cell", "images"], axis=1)
    return head.join(_texts(cells, LESIONS)).assign(**{"light across the image, L*": cells["shading"]})


def _texts(cells: pd.DataFrame, columns: dict[str, tuple[str, int]]) -> pd.DataFrame:
    return pd.DataFrame(
        {title: [e.text(digits) for e in cells[name]] for title, (name, digits) in columns.items()}, cells.index
    )


def _boxes(measured: pd.DataFrame) -> str:
    known = measured.dropna(subset=["ita"])
    known = known.assign(group=known["group"].fillna("unknown"))
    order = known.groupby("group")["requested"].first().sort_values(na_position="last").index
    drawing = matplotlib.figure.Figure(figsize=(7, 3.2), layout="constrained")
    axes = drawing.subplots()
    angles = {str(g): known.loc[known["group"] == g, "ita"] for g in order}
    axes.boxplot(list(angles.values()), tick_labels=list(angles), showfliers=False)
    axes.set_ylabel("ITA (degrees)")
    axes.set_xlabel("requested group")
    medians = "; ".join(f"{group}: median {values.median():.0f}" for group, values in angles.items())
    return as_svg(drawing, "Measured angle by requested group", medians)
