"""Tables of ratings: one that iMRMC published with its results, and simulated ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bench.suites.statistics.reader_studies import simulated_ratings

EXAMPLE = Path(__file__).parents[1] / "evalsuite" / "readers" / "imrmc_example.csv"


def imrmc_example() -> pd.DataFrame:
    """The simulated table of iMRMC's own test (DIDSR/iMRMC, a US government work, CC0): 5 readers, 80 cases."""
    wide = pd.read_csv(EXAMPLE)
    long = wide.melt(["case", "truth"], var_name="who", value_name="rating")
    return long.assign(modality=long["who"].str.split("/").str[0], reader=long["who"].str.split("/").str[1])


def simulated(
    readers: int = 4,
    cases: int = 60,
    gain: float = 0.0,
    seed: int = 0,
    *,
    separation: float = 1.5,
    steps: int | None = None,
) -> pd.DataFrame:
    """Simulated ratings (`simulated_ratings`) of a seed."""
    rng = np.random.default_rng(seed)
    return simulated_ratings(rng, readers, cases, gain, separation=separation, steps=steps)
