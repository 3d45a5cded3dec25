"""Features of a frozen body, computed once: then an arm is a linear head, and hundreds of arms take minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dermforge.common import tables
from dermforge.common.errors import UserError
from evalsuite.training import model as models
from evalsuite.training.data.pool import Pool

#: The column that tells images of several generators apart, and what stands in it for a real image.
GENERATOR, REAL = "generator", -1


@torch.inference_mode()
def extract(
    model: nn.Module,
    pool: Pool,
    device: torch.device,
    *,
    batch: int = 128,
    tick: Callable[[int], None] = lambda n: None,
) -> Pool:
    """The same pool with features, float32 [n, d], in place of images."""
    mean, std = (t.to(device) for t in models.normaliser(model))
    model.eval().to(device)
    parts = []
    for rows in torch.arange(pool.n).split(batch):
        pixels = pool.x[rows].to(device).float() / 255
        parts.append(models.features(model, (pixels - mean) / std).cpu())
        tick(len(rows))
    return replace(pool, x=torch.cat(parts))


class Head(nn.Module):
    """A linear head on standardised features; it begins at zero, so every arm starts from the same place."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.linear = nn.Linear(len(mean), classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear((x - self.mean) / self.std)

    def fold_into(self, body: nn.Module) -> None:
        """Make this head the body's classifier, the standardisation folded into its weights."""
        classifier = body.get_classifier()  # type: ignore[operator]
        if not isinstance(classifier, nn.Linear):
            raise UserError(
                f"the classifier of this model is a {type(classifier).__name__}, not a linear layer; use --tuning head"
            )
        with torch.no_grad():
            weight = self.linear.weight / self.std
            classifier.weight.copy_(weight)
            classifier.bias.copy_(self.linear.bias - weight @ self.mean)


def new_head(train: Pool) -> Head:
    """The head for a training pool; its scale is that of the real rows where there are any."""
    real = np.flatnonzero(~train.synthetic) if (~train.synthetic).any() else np.arange(train.n)
    values = train.x[torch.from_numpy(real)]
    return Head(values.mean(0), values.std(0, correction=0).clamp_min(1e-6), len(train.classes))


@dataclass(frozen=True)
class Table:
    """Features by image.

    Attributes
    ----------
    row
        Row of each image, by (generator, id); the generator is REAL for real images, and everywhere where the table
        does not name it.
    by_generator
        Whether it does: then two generators may have used the same ids.
    """

    row: dict[tuple[int, str], int]
    values: Tensor
    by_generator: bool

    def of(self, ids: Sequence[str], generators: NDArray[np.int64]) -> tuple[Tensor, list[str]]:
        """The features of these images, and the ids of those that the table lacks."""
        keys = list(zip(generators.tolist() if self.by_generator else [REAL] * len(ids), ids, strict=True))
        missing = [key[1] for key in keys if key not in self.row]
        return (self.values[:0] if missing else self.values[torch.tensor([self.row[key] for key in keys])]), missing


def read_table(path: Path) -> Table:
    """Features of a parquet table with the columns id, f0, f1, ... : anybody's embedding.

    Raises
    ------
    UserError
        No such file, no table, no `id`, no feature columns, repeated ids, or values that are not finite.
    """
    frame = tables.read_table(path)
    columns = sorted((c for c in frame.columns if str(c)[:1] == "f" and str(c)[1:].isdigit()), key=lambda c: int(c[1:]))
    if "id" not in frame.columns or not columns:
        raise UserError(f"features {path}: columns {', '.join(map(str, frame.columns[:5]))}; expected id, f0, f1, ...")
    values = torch.tensor(frame[columns].to_numpy(np.float32))
    if not torch.isfinite(values).all():
        raise UserError(f"features {path}: NaN or infinity among the values; write it again")
    known = GENERATOR in frame.columns
    if known and not pd.api.types.is_integer_dtype(frame[GENERATOR]):
        raise UserError(
            f"features {path}: text or fractions in the column {GENERATOR}; expected {REAL} for a real "
            "image, else the generator's place, from 0, in the order of --synthetic"
        )
    makers = frame[GENERATOR].tolist() if known else [REAL] * len(frame)
    keys = list(zip(makers, frame["id"].astype(str), strict=True))
    row = {key: i for i, key in enumerate(keys)}
    if len(row) < len(keys):
        twice = next(key[1] for i, key in enumerate(keys) if row[key] != i)
        raise UserError(f"features {path}: the id {twice} appears twice; expected one row an image")
    return Table(row, values, known)
