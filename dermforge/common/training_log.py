"""A CSV file of a run's progress. Its content is in the checkpoints too: a resumed run goes on where they do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dermforge.common.atomic import write_whole
from dermforge.common.csv_cells import csv_of_rows


class TrainingLog:
    """One line for each `add`, written at once. A new log has none, and replaces a file that is there."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._begin(csv_of_rows(columns, []))

    def add(self, *values: object) -> None:
        """Append a line."""
        line = csv_of_rows([str(value) for value in values], [])
        self.content += line
        with self.path.open("ab") as file:
            file.write(line)

    @property
    def state(self) -> Tensor:
        """The lines by now, for a checkpoint; uint8."""
        return torch.from_numpy(np.frombuffer(self.content, np.uint8).copy())

    def restore(self, state: Tensor) -> None:
        """Go on after the lines of a checkpoint."""
        self._begin(state.numpy().tobytes())

    def _begin(self, content: bytes) -> None:
        self.content = bytearray(content)
        write_whole(self.path, content)
