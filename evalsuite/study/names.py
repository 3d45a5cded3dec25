"""The words of a study's options. Nothing heavy is imported, so that the command's help comes at once."""

from typing import Literal

Preset = Literal["sagers2023", "laptop"]
Metric = Literal["accuracy", "balanced_accuracy"]
