"""Requested and measured skin tone: one row per image, and estimates for every cell."""

from __future__ import annotations

import re
import zlib
from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.images.cells import CELLS, parts_of
from evalsuite.images.image_data import ImageData, Track, families, sample_record, untracked
from evalsuite.images.tone.measure_ita import measure_ita, tone_index
from evalsuite.stats.estimate import Estimate, bootstrap_mean, bootstrap_of, from_resamples, missing, share
from evalsuite.stats.resampling import Family, bootstrap_rows, family_units

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
MIN_CELL = 5
LESION_CONTRAST = 3.0  # CIELAB units from which a lesion counts as seen


def requested_steps(group: str | None) -> tuple[int, int] | None:
    """The first and last of the six steps (0 lightest) that a group's name requests; None if it names no tone.

    Understands the tone groups, Fitzpatrick types in digits or Roman numerals ("3", "fst3", "FST IV"), and ranges
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


def image_table(data: ImageData, cuts: tuple[float, ...], track: Track = untracked, what: str = "tone") -> pd.DataFrame:
    """One row per image: id, class, group, strategy, the measure, and how far it lies from the request.

    `steps_off` is positive where the image is darker than requested. `degrees_off` says how far the angle lies outside
    the requested range, positive where lighter. Both are NaN where nothing was requested. `what` names the pass in the
    progress display.
    """
    records = []
    for sample, image in track(data.images(), what, len(data.rows)):
        measure = measure_ita(image)
        asked = requested_steps(sample.group)
        step = tone_index(measure.ita, cuts)
        records.append(
            sample_record(sample)
            | asdict(measure)
            | {
                "requested": np.nan if asked is None else sum(asked) / 2,
                "measured": step,
                "steps_off": np.nan if asked is None or step < 0 else _beyond(step, asked),
                "degrees_off": np.nan if asked is None else _outside(measure.ita, asked, cuts),
            }
        )
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
    """One row per cell: the share measured and why the rest is not, quantiles of the angle, and estimates of order,
    accuracy, drift and what became of the lesion.

    With a `reference`, the same measures of real images, `drift` is the shift of the angles from their median, group by
    group, and `lesion_kept` compares the lesion's contrast with the parent's where the parent is among them.
    """
    records = []
    for family, keys in CELLS.items():
        for name, part in parts_of(measured, keys):
            judged = _judge(part, reference, resamples, seed + zlib.crc32(f"{family}/{name}".encode()))
            records.append({"family": family, "cell": name, "n": len(part), **judged})
    return pd.DataFrame(records)


def _judge(part: pd.DataFrame, reference: pd.DataFrame | None, resamples: int, seed: int) -> dict[str, object]:
    seen, found = part[part["ita"].notna()], part[part["lesion_contrast"].notna()]
    asked = seen[seen["requested"].notna()]
    of, of_asked = families(found, reference), families(asked, reference)
    quantiles = seen["ita"].quantile([0.05, 0.5, 0.95]) if len(seen) else [np.nan] * 3
    q05, q50, q95 = map(float, quantiles)
    return {
        "not_measured": len(part) - len(seen),
        "why": _reasons(part),
        "measured": share(part["ita"].notna().to_numpy(), families(part, reference)),
        "ita_q05": q05,
        "ita_median": q50,
        "ita_q95": q95,
        # a darker request has a lower angle, so the sign is turned: +1 is the perfect order
        "spearman": _order(asked, spearmanr, resamples, seed, of_asked),
        "kendall": _order(asked, kendalltau, resamples, seed, of_asked),
        "within_one": share(asked["steps_off"].abs().to_numpy() <= 1, of_asked),
        "exact": share(asked["steps_off"].to_numpy() == 0, of_asked),
        "degrees_off": bootstrap_mean(asked["degrees_off"].to_numpy(), seed=seed, family=of_asked),
        "drift": _drift(seen, reference, resamples, seed),
        "lesion_seen": share(found["lesion_contrast"].to_numpy() >= LESION_CONTRAST, of),
        "lesion_contrast": bootstrap_mean(found["lesion_contrast"].to_numpy(), seed=seed, family=of),
        "lesion_kept": _kept(found, reference),
        "shading": float(found["shading"].median()) if len(found) else float("nan"),
    }


def _reasons(part: pd.DataFrame) -> str:
    """Why images have no measured tone, with counts, the most frequent first."""
    counts = part.loc[part["ita"].isna(), "not_measured"].value_counts()
    return ", ".join(f"{n:,} {reason}" for reason, n in counts.items())


def _kept(found: pd.DataFrame, reference: pd.DataFrame | None) -> Estimate:
    """Among images whose parent shows a lesion, the share that show one too, with at least half of its contrast."""
    if reference is None:
        return missing(0, "no reference images")
    parent = found["parent"].map(reference.set_index("id")["lesion_contrast"])
    had = parent >= LESION_CONTRAST
    kept = had & (found["lesion_contrast"] >= np.maximum(LESION_CONTRAST, parent / 2))
    return share(kept[had].to_numpy(), families(found[had], reference))


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
    """Median distance of the angles from the median of the real images of their group; both sides are resampled.

    Groups of fewer than `MIN_CELL` real images are left out: resampling them shows too little of their spread.
    """
    if reference is None:
        return missing(len(seen), "no reference images")
    known = reference.dropna(subset=["ita", "group"])
    known = known[known.groupby("group")["ita"].transform("size") >= MIN_CELL]
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
