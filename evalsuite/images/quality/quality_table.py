"""Fidelity and diversity for every class, skin type and strategy, at equal n in every cell of a family.

Distances and diversity depend on the number of samples, so the cells of a family are compared at one n: that of the
smallest cell with at least `MIN_N` images. Smaller cells are listed as "not enough data".
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.least_numbers import QUALITY_IMAGES
from evalsuite.images.cells import CELLS
from evalsuite.images.features.extract import Features
from evalsuite.images.image_data import families
from evalsuite.images.quality.cmmd import cmmd
from evalsuite.images.quality.fid import fid
from evalsuite.images.quality.kid import kid
from evalsuite.images.quality.prdc import prdc
from evalsuite.images.quality.vendi import vendi
from evalsuite.stats.estimate import Estimate, missing
from evalsuite.stats.resampling import Families, codes_of

NONE = "all"  # stands for every metric of a cell with too few images
MIN_N = QUALITY_IMAGES  # of each side, from which a cell is measured
Rows = NDArray[np.integer]


@dataclass(frozen=True)
class MatchedCell:
    """One comparison: rows of the real and of the synthetic features, before n is made equal."""

    family: str
    name: str
    real: Rows
    synthetic: Rows

    @property
    def n(self) -> int:
        return min(len(self.real), len(self.synthetic))


def cells_of(real: pd.DataFrame, synthetic: pd.DataFrame, family: str) -> Iterator[MatchedCell]:
    """The cells of a family, in order; a strategy is compared with all real images, as these have no strategy."""
    keys, everyone = list(CELLS[family]), np.arange(len(real))
    if not keys:
        yield MatchedCell(family, "all", everyone, np.arange(len(synthetic)))
        return
    for values in synthetic[keys].dropna().drop_duplicates().sort_values(keys).itertuples(index=False, name=None):
        matched, chosen = (np.flatnonzero((frame[keys] == values).all(axis=1)) for frame in (real, synthetic))
        name = " x ".join(map(str, values))
        yield MatchedCell(family, name, everyone if family == "strategy" else matched, chosen)


def quality_table(
    real: Features,
    synthetic: Features,
    *,
    max_n: int = 5000,
    seed: int = 0,
    resamples: int = 100,
    kinds: tuple[str, ...] = tuple(CELLS),
) -> pd.DataFrame:
    """One row per metric of a cell: family, cell, n_real, n_synthetic, n, metric, value, low, high, note.

    The family "floor" compares two halves of the real images, at the overall n if there are enough of them. It is the
    score of a perfect generator. Each side of a cell has at most `max_n` images; kernel distances get three times as
    many resamples as the others.
    """
    records: list[dict[str, object]] = []
    for family in kinds:
        cells = list(cells_of(real.frame, synthetic.frame, family))
        enough = [c.n for c in cells if c.n >= MIN_N]
        n = min(min(enough, default=0), max_n)
        for cell in cells:
            records += _measure(cell, real, synthetic, n if cell.n >= MIN_N else 0, seed, resamples)
    records += _floor(real, min(len(real.frame), len(synthetic.frame), max_n), seed, resamples)
    return pd.DataFrame(records)


def _measure(
    cell: MatchedCell, real: Features, synthetic: Features, n: int, seed: int, resamples: int
) -> Iterator[dict[str, object]]:
    head = {"family": cell.family, "cell": cell.name, "n_real": len(cell.real), "n_synthetic": len(cell.synthetic)}
    if n == 0:
        estimate = missing(
            cell.n, f"{len(cell.real)} real and {len(cell.synthetic)} synthetic images; {MIN_N} of each are the least"
        )
        yield head | {"metric": NONE} | estimate.columns()
        return
    rng = np.random.default_rng((seed, zlib.crc32(f"{cell.family}/{cell.name}".encode())))
    a, b = (np.sort(rng.choice(rows, n, replace=False)) for rows in (cell.real, cell.synthetic))
    known = families(real.frame.iloc[a]), families(synthetic.frame.iloc[b], real.frame)
    found = measure(real.take(a), synthetic.take(b), real.extractor.metric, seed=seed, resamples=resamples, of=known)
    for metric, estimate in found:
        yield head | {"metric": metric} | estimate.columns()


def measure(
    real: NDArray[np.floating],
    synthetic: NDArray[np.floating],
    name: Callable[[str], str],
    *,
    seed: int = 0,
    resamples: int = 100,
    of: Families = (None, None),
) -> Iterator[tuple[str, Estimate]]:
    """All metrics of two equally large sets of features `of` families; the first, the kernel distance, is unbiased."""
    yield name("KD"), kid(real, synthetic, resamples=3 * resamples, seed=seed, families=of)
    yield name("FD"), fid(real, synthetic, resamples=resamples, seed=seed, families=of)
    yield name("MMD"), cmmd(real, synthetic, resamples=3 * resamples, seed=seed, families=of)
    four = prdc(real, synthetic, families=of)
    for kind in ("precision", "recall", "density", "coverage"):
        yield name(kind), getattr(four, kind)
    yield name("Vendi, real"), vendi(real, resamples=resamples, seed=seed, family=of[0])
    yield name("Vendi, synthetic"), vendi(synthetic, resamples=resamples, seed=seed, family=of[1])


def _floor(real: Features, n: int, seed: int, resamples: int) -> list[dict[str, object]]:
    """Real against real; no patient is in both halves, as that would bring them nearer than any generator can come."""
    codes = codes_of(families(real.frame), len(real.frame))
    place = np.random.default_rng((seed, 1)).permutation(int(codes.max()) + 1)[codes]
    order = np.argsort(place, kind="stable")
    half = min(n, len(order) // 2)
    first, rest = order[:half], order[half:]
    other = rest[place[rest] > place[first].max()] if half else rest
    half = min(half, len(other))
    cell = MatchedCell("floor", "real against real", first[:half], other[:half])
    rows = list(_measure(cell, real, real, half if half >= MIN_N else 0, seed, resamples))
    if half < n:
        note = f"at n = {half}, not {n}: compare the kernel distance only, which does not depend on n"
        rows = [row | {"note": row["note"] or note} for row in rows]
    return rows
