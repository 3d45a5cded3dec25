"""Did the requested skin tone come out? Requested against measured typology angle, in words and on the page."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import pandas as pd

from evalsuite.images.image_data import ImageSource, Track, open_images, untracked
from evalsuite.images.tone.cut_points import cut_points
from evalsuite.images.tone.measure_ita import LIGHTING_CAVEAT, METHOD
from evalsuite.images.tone.tone_table import LESION_CONTRAST, MIN_CELL, cell_table, image_table
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
SHIFT = 5.0  # degrees from real images that matter: less than half of the narrowest group


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
        The verdict on the whole set: good where requested and measured tone agree in order and in size, in every skin
        type; unknown where no two tones were requested.
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
        Real images from which drift is measured.
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
    real = None if reference is None else image_table(open_images(reference), points, track, "reference")
    measured = image_table(open_images(images), points, track)
    cells = cell_table(measured, real)
    return ToneReport(measured, cells, *verdict(cells))


def verdict(cells: pd.DataFrame) -> tuple[str, Status]:
    """A sentence and a status for the whole set; a skin type that comes out wrong is named and is never good."""
    row = cells[cells["family"] == "overall"].iloc[0]
    order, within = row["spearman"], row["within_one"]
    if np.isnan(row["ita_median"]):
        return "No image shows enough bare skin to measure its tone.", "unknown"
    wrong = off_tone(cells)
    text = f"The typology angle has a median of {row['ita_median']:.0f} degrees (5 to 95 %: {row['ita_q05']:.0f} to "
    text += f"{row['ita_q95']:.0f}). "
    if np.isnan(order.value):
        text += "The order cannot be judged: fewer than two requested tones are known. "
    else:
        text += f"Requested and measured tone correlate with Spearman {order.text(2)}; {within.text(2)} of the "
        text += "images lie within one group of the request. "
    text += f"Off tone: {'; '.join(wrong)}. " if wrong else ""
    text += LIGHTING_CAVEAT
    if np.isnan(order.value):
        return text, "warn" if wrong else "unknown"
    good = order.low >= 0.6 and within.low >= 0.75 and not wrong
    return text, "good" if good else "warn" if order.low > 0 else "bad"


def off_tone(cells: pd.DataFrame) -> list[str]:
    """Skin types whose tone is shifted beyond chance, in words; they may still lie within one group of the request.

    If there are real images of the skin type: shifted by more than `SHIFT` from their angles. Otherwise: most images
    lie outside the range of angles that the request stands for.
    """
    found = []
    for row in cells[cells["family"] == "group"].to_dict("records"):
        drift, exact, off = row["drift"], row["exact"], row["degrees_off"]
        if not np.isnan(drift.value):
            if drift.low > SHIFT or drift.high < -SHIFT:
                found.append(f"{row['cell']} ({_direction(drift.value)} than real images of it)")
        elif exact.n >= MIN_CELL and exact.high < 0.5:
            found.append(f"{row['cell']} ({1 - exact.value:.0%} miss its range, on average {_direction(off.value)})")
    return found


def _direction(degrees: float) -> str:
    return f"{abs(degrees):.0f} degrees {'lighter' if degrees > 0 else 'darker'}"


def tone_section(report: ToneReport) -> ImageCheck:
    """The section of the page on tone."""
    cells = report.cells
    groups = cells[cells["family"] == "group"]
    others = cells[cells["family"].isin(["overall", "class", "strategy"])]
    asked = f"Typology angle (ITA, degrees) on bare skin ({METHOD}), requested against measured"
    lesion = f"Did the lesion stay? CIELAB contrast with the skin; from {LESION_CONTRAST:g} on it counts as seen"
    caption = "Measured angle for each requested group; boxes hold the middle half"
    return ImageCheck(
        "Skin tone",
        report.sentence,
        report.status,
        {
            "fidelity": [frame_table(_asked(others, order=True), asked), frame_table(_lesions(others), lesion)],
            "fairness": [
                frame_table(_asked(groups, order=False), f"{asked}, by skin type"),
                frame_table(_lesions(groups), f"{lesion}, by skin type"),
                Plot(_boxes(report.images), caption),
            ],
        },
    )


def _asked(cells: pd.DataFrame, *, order: bool) -> pd.DataFrame:
    """Shown columns; the order is left out where a cell has one requested tone."""
    angles = zip(cells["ita_median"], cells["ita_q05"], cells["ita_q95"], strict=True)
    shown = pd.DataFrame({"cell": cells["cell"], "images": cells["n"]})
    shown["ITA: median (5 to 95 %)"] = [Estimate(*angle, 0).text(1) for angle in angles]
    return shown.join(_texts(cells, ORDER | ASKED if order else ASKED))


def _lesions(cells: pd.DataFrame) -> pd.DataFrame:
    head = cells[["cell", "n", "not_measured"]].set_axis(["cell", "images", "tone not measurable"], axis=1)
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
