"""dermequity: its auditor asks a torch model and a loader; a table is given through a model that repeats it."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pandas as pd
import torch
from dermequity import FairnessAuditor
from torch.utils.data import DataLoader, TensorDataset

PACKAGE = "dermequity"
TYPES = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6}


def audit(table: pd.DataFrame) -> dict[str, Any]:
    probs = torch.tensor(table["prob_melanoma"].to_numpy())
    logits = torch.stack([torch.zeros_like(probs), torch.logit(probs)], dim=1)
    truth = torch.tensor((table["label"] == "melanoma").astype(int).to_numpy())
    types = torch.tensor(table["fst"].map(TYPES).to_numpy())
    auditor = FairnessAuditor(torch.nn.Identity(), device="cpu")
    found = auditor.audit(DataLoader(TensorDataset(logits, truth, types), batch_size=256))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        auditor.print_report()
    line = next(text for text in printed.getvalue().splitlines() if "SENSITIVITY: Gap" in text)
    groups = {name: found.metrics_by_fitzpatrick[number] for name, number in TYPES.items()}
    return {
        "accuracy": {name: float(one.accuracy) for name, one in groups.items()},
        "sensitivity": {name: float(one.sensitivity) for name, one in groups.items()},
        "intervals": None,
        "gap": float(found.equity_gaps["sensitivity"].gap),
        "gap_interval": None,
        "words": line.split("SENSITIVITY:")[0].split()[-1] + ":" + line.split("SENSITIVITY:")[1],
        "alarm": "HIGH" in line,
    }
