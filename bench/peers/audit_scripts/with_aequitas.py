"""aequitas: disparities to the largest group, and its fairness rule (tau 0.8)."""

from __future__ import annotations

from typing import Any

import pandas as pd
from aequitas.audit import Audit
from aequitas.fairness import Fairness

PACKAGE = "aequitas"


def audit(table: pd.DataFrame) -> dict[str, Any]:
    given = pd.DataFrame(
        {
            "label": (table["label"] == "melanoma").astype(int),
            "score": (table["prob_melanoma"] >= 0.5).astype(int),
            "fst": table["fst"],
        }
    )
    found = Audit(given, sensitive_attribute_column=["fst"])  # one name alone fails in 1.1.0
    found.audit()
    judged = Fairness().get_group_value_fairness(found.disparity_df).set_index("attribute_value")
    unfair = [group for group, fair in judged["TPR Parity"].items() if fair is False or fair == 0]
    sensitivity = judged["tpr"].to_dict()
    return {
        "accuracy": judged["accuracy"].to_dict(),
        "sensitivity": sensitivity,
        "intervals": None,
        "gap": max(sensitivity.values()) - min(sensitivity.values()),
        "gap_interval": None,
        "words": f"TPR Parity: False for {', '.join(unfair)}" if unfair else "TPR Parity: True for all",
        "alarm": bool(unfair),
    }
