"""Did the requested skin tone come out? Requested against measured typology angle, for every cell."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import asdict

import matplotlib.figure
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from dermforge.common.console import progress
from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.images.features.features import ImageData, families
from evalsuite.images.quality.cells import FAMILIES, parts_of
from evalsuite.images.tone.measure_ita import LIGHTING_CAVEAT, METHOD, measure_ita, tone_index
from evalsuite.page.blocks import Plot
from evalsuite.page.measurement import Measurement, Status, frame_table
from evalsuite.page.svg import as_svg
from evalsuite.stats.estimate import Estimate, bootstrap_mean, bootstrap_of, from_resamples, missing, share
from evalsuite.stats.resampling import Family, bootstrap_rows, family_units

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
MIN_CELL = 5
LESION_CONTRAST = 3.0  # CIELAB units from which a lesion is said to be seen
SHIFT = 5.0  # degrees from real images that matter: less than half of the narrowest group


def requested_steps(group: str | None) -> tuple[int, int] | None:
    """The first and last of the six steps (0 lightest) that a group's name asks for; None if it names no tone.

    Knows the tone groups, Fitzpatrick types in digits or Roman numerals ("3", "fst3", "FST IV"), and ranges
    ("I-II", "fst12", "56").
    """
    if group is None:
        return None
    if group in TONE_GROUPS:
        return TONE_GROUPS.index(group), TONE_GROUPS.index(group)
    word = re.sub(r"^(fst|fitzpatrick|type|skin|tone)+", "", re.sub(r"[\s_]+", "", group.lower()))
    parts = list(word) if re.fullmatch(r"[1-6]{1,2}", word) else re.split(r"[-–/]", word)
    steps = [int(p) if re.fullmatch("[1-6]", p) else _ROMAN.get(p, 0) for p in parts]
    return (min(steps) - 1, max(steps) - 1) if 1 <= len(steps) <= 2 and all(steps) else None


def measure_table(data: ImageData, cuts: tuple[float, ...], what: str = "tone") -> pd.DataFrame:
    """One row an image: id, class, group, strategy, the measure, and the steps it lies from the request.

    `steps_off` is signed, positive where darker than requested; `degrees_off` is how far the angle lies
    outside the requested range, positive where lighter; both are NaN where nothing was requested.
    """
    records = []
    with progress(what, len(data.rows)) as tick:
        for sample, image in data.images():
            measure = measure_ita(image)
            asked = requested_steps(sample.group)
            step = tone_index(measure.ita, cuts)
            records.append(
                {
                    "id": sample.id,
                    "class": sample.label,
                    "group": sample.group,
                    "strategy": sample.strategy,
                    "parent": sample.parent,
                    "cluster": sample.cluster,
                    **asdict(measure),
                    "requested": np.nan if asked is None else sum(asked) / 2,
                    "measured": step,
                    "steps_off": np.nan if asked is None or step < 0 else _beyond(step, asked),
                    "degrees_off": np.nan if asked is None else _outside(measure.ita, asked, cuts),
                }
            )
            tick()
    return pd.DataFrame(records)


def _beyond(step: int, asked: tuple[int, int]) -> float:
    return float(max(step - asked[1], 0) + min(step - asked[0], 0))


def _outside(angle: float, asked: tuple[int, int], cuts: tuple[float, ...]) -> float:
    upper = np.inf if asked[0] == 0 else cuts[asked[0] - 1]
    lower = -np.inf if asked[1] == len(cuts) else cuts[asked[1]]
    return float(max(angle - upper, 0) + min(angle - lower, 0)) if not np.isnan(angle) else np.nan


def cell_table(
    measured: pd.DataFrame, reference: pd.DataFrame | None = None, *, resamples: int = 300, seed: int = 0
) -> pd.DataFrame:
    """One row a cell: raw angle (quantiles), then estimates of order, within_one, exact, degrees_off, drift, lesion_*.

    Parameters
    ----------
    reference
        The same measures of real images: `drift` compares median angles with theirs, group by group, and
        `lesion_kept` the lesion's contrast with the parent's where the parent is among them.
    """
    records = []
    for family, keys in FAMILIES.items():
        for name, part in parts_of(measured, keys):
            row_seed = seed + zlib.crc32(f"{family}/{name}".encode())
            judged = _judge(part, reference, resamples, row_seed)
            records.append({"family": family, "cell": name, "n": len(part), **judged})
    return pd.DataFrame(records)


def _judge(part: pd.DataFrame, reference: pd.DataFrame | None, resamples: int, seed: int) -> dict[str, object]:
    seen = part[part["ita"].notna()]
    asked = seen[seen["requested"].notna()]
    of, of_asked = families(seen, reference), families(asked, reference)
    quantiles = seen["ita"].quantile([0.05, 0.5, 0.95]) if len(seen) else [np.nan] * 3
    q05, q50, q95 = map(float, quantiles)
    return {
        "not_measured": len(part) - len(seen),
        "ita_q05": q05,
        "ita_median": q50,
        "ita_q95": q95,
        # a darker request is a lower angle: order is perfect at +1
        "spearman": _order(asked, spearmanr, resamples, seed, of_asked),
        "kendall": _order(asked, kendalltau, resamples, seed, of_asked),
        "within_one": share(asked["steps_off"].abs().to_numpy() <= 1, of_asked),
        "exact": share(asked["steps_off"].to_numpy() == 0, of_asked),
        "degrees_off": bootstrap_mean(asked["degrees_off"].to_numpy(), seed=seed, family=of_asked),
        "drift": _drift(seen, reference, resamples, seed),
        "lesion_seen": share(seen["lesion_contrast"].to_numpy() >= LESION_CONTRAST, of),
        "lesion_contrast": bootstrap_mean(seen["lesion_contrast"].to_numpy(), seed=seed, family=of),
        "lesion_kept": _kept(seen, reference),
        "shading": float(seen["shading"].median()) if len(seen) else float("nan"),
    }


def _kept(seen: pd.DataFrame, reference: pd.DataFrame | None) -> Estimate:
    """Share of the images whose parent shows a lesion that show one themselves, at half its contrast at least."""
    if reference is None:
        return missing(0, "no reference images")
    parent = seen["parent"].map(reference.set_index("id")["lesion_contrast"])
    had = parent >= LESION_CONTRAST
    kept = had & (seen["lesion_contrast"] >= np.maximum(LESION_CONTRAST, parent / 2))
    return share(kept[had].to_numpy(), families(seen[had], reference))


def _order(asked: pd.DataFrame, statistic: object, resamples: int, seed: int, family: Family) -> Estimate:
    if asked["requested"].nunique() < 2 or len(asked) < MIN_CELL:
        return missing(len(asked), "needs two requested tones and five images")

    def value(requested: NDArray[np.floating], angle: NDArray[np.floating]) -> float:
        varied = np.ptp(requested) > 0 and np.ptp(angle) > 0
        return float(-statistic(requested, angle)[0]) if varied else float("nan")  # type: ignore[operator]

    return bootstrap_of(
        value, asked["requested"].to_numpy(), asked["ita"].to_numpy(), resamples=resamples, seed=seed, family=family
    )


def _drift(seen: pd.DataFrame, reference: pd.DataFrame | None, resamples: int, seed: int) -> Estimate:
    """Median of how far each angle lies from the median of real images of its group; both sides are resampled."""
    if reference is None:
        return missing(len(seen), "no reference images")
    known = reference.dropna(subset=["ita", "group"])
    shared = seen[seen["group"].isin(set(known["group"]))]
    if len(shared) < MIN_CELL:
        return missing(len(shared), "too few images of groups that the reference has")
    known = known[known["group"].isin(set(shared["group"]))]
    names, codes = np.unique(known["group"].to_numpy(str), return_inverse=True)
    angle, base = shared["ita"].to_numpy(), known["ita"].to_numpy()
    place = np.searchsorted(names, shared["group"].to_numpy(str))

    def value(rows: NDArray[np.intp], real: NDArray[np.intp]) -> float:
        middle = np.array([_median(base[real][codes[real] == k]) for k in range(len(names))])
        away = angle[rows] - middle[place[rows]]
        return _median(away[~np.isnan(away)])

    rngs = np.random.default_rng(seed).spawn(2)
    drawn = zip(
        bootstrap_rows(rngs[0], family_units(families(shared, reference), len(shared)), resamples),
        bootstrap_rows(rngs[1], family_units(families(known), len(known)), resamples),
        strict=True,
    )
    whole = value(np.arange(len(shared)), np.arange(len(known)))
    return from_resamples(whole, np.array([value(rows, real) for rows, real in drawn]), len(shared))


def _median(values: NDArray[np.floating]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def verdict(cells: pd.DataFrame) -> tuple[str, Status]:
    """A sentence and a status for the whole set; a skin type that comes out wrong is named and is not good."""
    row = cells[cells["family"] == "overall"].iloc[0]
    order, within = row["spearman"], row["within_one"]
    if np.isnan(row["ita_median"]):
        return "No image shows enough bare skin to measure its tone.", "unknown"
    wrong = off_tone(cells)
    text = f"The typology angle has a median of {row['ita_median']:.0f} degrees (5 to 95 %: {row['ita_q05']:.0f} to "
    text += f"{row['ita_q95']:.0f}). "
    if np.isnan(order.value):
        text += "Order cannot be judged: fewer than two requested tones are known. "
    else:
        text += f"Requested and measured tone go together with Spearman {order.text(2)}; {within.text(2)} of the "
        text += "images lie within one group of the request. "
    text += f"Off tone: {'; '.join(wrong)}. " if wrong else ""
    text += LIGHTING_CAVEAT
    if np.isnan(order.value):
        return text, "warn" if wrong else "unknown"
    good = order.low >= 0.6 and within.low >= 0.75 and not wrong
    return text, "good" if good else "warn" if order.low > 0 else "bad"


def off_tone(cells: pd.DataFrame) -> list[str]:
    """Skin types that come out shifted, in words: beyond chance, though perhaps within one group of the request.

    Where there are real images of the skin type, by more than `SHIFT` from their angles. Else where most images miss
    the range of angles that the request stands for.
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


def tone_section(measured: pd.DataFrame, cells: pd.DataFrame) -> Measurement:
    """The part of the report on tone."""
    text, status = verdict(cells)
    groups = cells[cells["family"] == "group"]
    others = cells[cells["family"].isin(["overall", "class", "strategy"])]
    asked = f"Typology angle (ITA, degrees) on bare skin ({METHOD}), requested against measured"
    lesion = f"Whether the lesion stayed: CIELAB contrast with the skin, seen from {LESION_CONTRAST:g}"
    caption = "Measured angle for each requested group; boxes hold the middle half"
    return Measurement(
        "Skin tone",
        text,
        status,
        {
            "fidelity": [frame_table(_asked(others, order=True), asked), frame_table(_lesions(others), lesion)],
            "fairness": [
                frame_table(_asked(groups, order=False), f"{asked}, by skin type"),
                frame_table(_lesions(groups), f"{lesion}, by skin type"),
                Plot(_boxes(measured), caption),
            ],
        },
    )


def _asked(cells: pd.DataFrame, *, order: bool) -> pd.DataFrame:
    """For readers; one requested tone has no order."""
    columns = {
        "cell": cells["cell"],
        "images": cells["n"],
        "ITA: median (5 to 95 %)": [
            Estimate(middle, low, high, 0).text(1)
            for middle, low, high in cells[["ita_median", "ita_q05", "ita_q95"]].itertuples(index=False, name=None)
        ],
    }
    if order:
        columns |= {"order (Spearman)": _texts(cells["spearman"], 2), "order (Kendall)": _texts(cells["kendall"], 2)}
    return pd.DataFrame(
        columns
        | {
            "share in the group asked for": _texts(cells["exact"], 2),
            "share within one group": _texts(cells["within_one"], 2),
            "degrees outside the range asked for": _texts(cells["degrees_off"], 1),
            "drift from real images, degrees": _texts(cells["drift"], 1),
        }
    )


def _lesions(cells: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cell": cells["cell"],
            "images": cells["n"],
            "tone not measurable": cells["not_measured"],
            "share with a lesion": _texts(cells["lesion_seen"], 2),
            "its contrast": _texts(cells["lesion_contrast"], 1),
            "share that kept the parent's lesion": _texts(cells["lesion_kept"], 2),
            "light across the image, L*": cells["shading"],
        }
    )


def _texts(estimates: Iterable[Estimate], digits: int) -> list[str]:
    return [estimate.text(digits) for estimate in estimates]


def _boxes(measured: pd.DataFrame) -> str:
    known = measured.dropna(subset=["ita"])
    known = known.assign(group=known["group"].fillna("unknown"))
    order = known.groupby("group")["requested"].first().sort_values(na_position="last").index
    drawing = matplotlib.figure.Figure(figsize=(7, 3.2), layout="constrained")
    axes = drawing.subplots()
    axes.boxplot(
        [known.loc[known["group"] == g, "ita"] for g in order], tick_labels=[str(g) for g in order], showfliers=False
    )
    axes.set_ylabel("ITA (degrees)")
    axes.set_xlabel("requested group")
    medians = "; ".join(f"{g}: median {known.loc[known['group'] == g, 'ita'].median():.0f}" for g in order)
    return as_svg(drawing, "Measured angle by requested group", medians)
