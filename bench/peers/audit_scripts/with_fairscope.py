"""fairscope: AUROC by group with DeLong's intervals, and all pairs of groups tested, by Bonferroni."""

from __future__ import annotations

from typing import Any

import pandas as pd
from fairscope.healthcare import HealthcareFairnessAudit

PACKAGE = "fairscope"


def audit(table: pd.DataFrame) -> dict[str, Any]:
    truth = (table["label"] == "melanoma").astype(int)
    report = HealthcareFairnessAudit.from_scores(truth, table["prob_melanoma"], {"fst": table["fst"]}).run()
    found = report.to_dataframe().set_index("group")
    lines = report.summary().splitlines()
    significant = [line.strip() for line in lines if "(significant)" in line]
    return {
        "accuracy": None,
        "sensitivity": None,
        "auroc": found["auc"].to_dict(),
        "intervals": {group: [row["ci_lower"], row["ci_upper"]] for group, row in found.iterrows()},
        "gap": float(found["auc"].max() - found["auc"].min()),
        "gap_interval": None,
        "words": "; ".join(significant) or "no pair significant",
        "alarm": bool(significant),
    }
