"""The words of a study's options. Nothing heavy is imported, so that the command's help comes at once."""

from typing import Literal

Preset = Literal["photographs", "laptop", "sagers2023"]
Metric = Literal["accuracy", "balanced_accuracy"]
ControlDoses = Literal["reference", "all"]
