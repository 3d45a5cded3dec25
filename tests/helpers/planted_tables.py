"""Tables as a dermatologist has them: 2,000 images of three classes, melanoma missed more often in dark skin."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

TYPES = ("I", "II", "III", "IV", "V", "VI")
CLASSES = ("benign nevus", "keratosis", "melanoma")
#: The sensitivity where nothing is planted, and the share of images of each skin type.
SENSITIVITY, SHARES = 0.82, (0.095, 0.325, 0.285, 0.155, 0.085, 0.055)


def dermatology(seed: int, loss: float = 0.10, n: int = 2000, prefix: str = "i") -> pd.DataFrame:
    """Predictions whose likeliest class is right in 82 %, of melanoma in skin types V and VI in `loss` less."""
    rng = np.random.default_rng(seed)
    fst, y = rng.choice(6, n, p=SHARES), rng.choice(3, n, p=(0.5, 0.3, 0.2))
    right = rng.random(n) < SENSITIVITY - loss * ((y == 2) & (fst > 3))
    called = np.where(right, y, (y + rng.integers(1, 3, n)) % 3)
    scores = rng.normal(size=(n, 3))
    scores[np.arange(n), called] = scores.max(axis=1) + rng.exponential(size=n)
    probs = np.exp(scores)
    frame = pd.DataFrame(probs / probs.sum(axis=1, keepdims=True), columns=[f"prob_{c}" for c in CLASSES])
    return frame.assign(
        id=[f"{prefix}{i}" for i in range(n)],
        label=np.array(CLASSES)[y],
        fst=np.array(TYPES)[fst],
        sex=rng.choice(["female", "male"], n),
        patient=[f"{prefix}p{p}" for p in rng.integers(0, 873, n)],
    )


def fisher(frame: pd.DataFrame) -> float:
    """Fisher's exact test of the sensitivity for melanoma, V and VI against all others."""
    own = frame[frame.label == "melanoma"]
    hit = own[[f"prob_{c}" for c in CLASSES]].to_numpy().argmax(axis=1) == 2
    dark = own.fst.isin(["V", "VI"]).to_numpy()
    return float(fisher_exact([[int((hit & g).sum()), int((~hit & g).sum())] for g in (dark, ~dark)])[1])
