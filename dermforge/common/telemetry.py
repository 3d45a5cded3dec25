"""Libraries that report to their makers are told not to, before any of them is imported.

Images of patients are worked on here, and nobody asked for a connection. From 1.32 on, ONNX Runtime opens one
some seconds after the first session, also after its own `disable_telemetry_events`.
"""

from __future__ import annotations

import os

#: Environment variable -> the value that switches a report off. What the user's environment says comes first.
SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def switch_off() -> None:
    """Set the variables that are not set; the programs that we start inherit them."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
