"""The words of a study's options. Nothing heavy is imported, so that the command's help comes at once."""

from typing import Literal

Preset = Literal["photographs", "laptop", "sagers2023"]
#: accuracy, balanced_accuracy, auroc or sensitivity:CLASS (`evalsuite.study.outcomes`).
Metric = str
ControlDoses = Literal["reference", "all"]
