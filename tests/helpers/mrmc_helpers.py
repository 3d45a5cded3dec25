"""Tables of ratings: one that iMRMC published with its results, and simulated ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

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
    """Ratings after Roe & Metz 1997: reader, case, and what they have in a modality; half the cases are positive."""
    rng = np.random.default_rng(seed)
    positive = np.arange(cases) % 2 == 1
    score = np.zeros((2, readers, cases)) + positive * (separation + np.array([0, gain])[:, None, None])
    score += rng.normal(0, 0.2, (1, readers, 1)) * positive + rng.normal(0, 0.2, (2, readers, 1)) * positive
    score += rng.normal(0, 0.55, (1, 1, cases)) + rng.normal(0, 0.4, (2, 1, cases))
    score += rng.normal(0, 0.4, (1, readers, cases)) + rng.normal(0, 0.6, (2, readers, cases))
    if steps is not None:
        score = np.clip(np.round(score * steps / 4), 0, steps)
    modality, reader, case = (axis.ravel() for axis in np.indices(score.shape))
    return pd.DataFrame(
        {
            "reader": [f"r{j}" for j in reader],
            "case": [f"c{k}" for k in case],
            "modality": np.array(["alone", "helped"])[modality],
            "truth": positive[case].astype(int),
            "rating": score.ravel(),
        }
    )
