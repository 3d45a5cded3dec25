"""fairlearn's MetricFrame, with the bootstrap intervals that it offers."""

from __future__ import annotations

from typing import Any

import pandas as pd
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score, recall_score

PACKAGE = "fairlearn"


def audit(table: pd.DataFrame) -> dict[str, Any]:
    truth = (table["label"] == "melanoma").astype(int)
    called = (table["prob_melanoma"] >= 0.5).astype(int)
    frame = MetricFrame(
        metrics={"accuracy": accuracy_score, "sensitivity": recall_score},
        y_true=truth,
        y_pred=called,
        sensitive_features=table["fst"],
        n_boot=1000,
        ci_quantiles=[0.025, 0.975],
        random_state=0,
    )
    low, high = (frame.by_group_ci[i]["sensitivity"].to_dict() for i in (0, 1))
    gaps = [end["sensitivity"] for end in frame.difference_ci()]
    return {
        "accuracy": frame.by_group["accuracy"].to_dict(),
        "sensitivity": frame.by_group["sensitivity"].to_dict(),
        "intervals": {group: [low[group], high[group]] for group in low},
        "gap": frame.difference()["sensitivity"],
        "gap_interval": gaps,
        "words": "",
        "alarm": None,
    }
