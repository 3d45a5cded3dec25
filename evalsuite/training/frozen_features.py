"""Features of a frozen body, computed once: then an arm is a linear head, and hundreds of arms take minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dermforge.common import tables
from dermforge.common.errors import UserError
from evalsuite.training import model as models
from evalsuite.training.data.schedule import TrainingSet
from evalsuite.training.preprocessing import evaluation_input
from shards.mixing.tensors import TensorSet

#: The column that tells images of several generators apart, and what stands in it for a real image.
GENERATOR, REAL = "generator", -1


@torch.inference_mode()
def extract(
    model: nn.Module,
    images: TensorSet,
    device: torch.device,
    *,
    batch: int = 128,
    tick: Callable[[int], None] = lambda n: None,
) -> TensorSet:
    """The same images with features, float32 [n, d], in place of pixels."""
    prepare = evaluation_input(model, device)
    model.eval().to(device)
    parts = []
    for pixels in images.batches(batch):
        parts.append(models.features(model, prepare(pixels.to(device))).cpu())
        tick(len(pixels))
    return images.with_values(torch.cat(parts))


def feature_table(sets: Sequence[TensorSet], generators: NDArray[np.int64]) -> pd.DataFrame:
    """The table that `read_table` reads back, of sets that hold features.

    Parameters
    ----------
    generators
        The generator of each image of all sets; `REAL` for a real one.
    """
    values = torch.cat([batch for images in sets for batch in images.batches(4096)]).numpy()
    frame = pd.DataFrame(values, columns=[f"f{i}" for i in range(values.shape[1])])
    frame.insert(0, "id", [name for images in sets for name in images.rows["id"]])
    frame.insert(1, GENERATOR, generators)
    return frame


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
        out: Tensor = self.linear((x - self.mean) / self.std)
        return out

    def fold_into(self, body: nn.Module) -> None:
        """Make this head the body's classifier, the standardisation folded into its weights."""
        classifier = body.get_classifier()  # type: ignore[operator]
        if not isinstance(classifier, nn.Linear):
            raise UserError(
                f"the classifier of this model is a {type(classifier).__name__}, not a linear layer; use tuning 'head'"
            )
        with torch.no_grad():
            weight = self.linear.weight / self.std
            classifier.weight.copy_(weight)
            classifier.bias.copy_(self.linear.bias - weight @ self.mean)


def new_head(train: TrainingSet) -> Head:
    """The head for a training set; its scale is that of the real images where there are any."""
    values = torch.cat(list(train.parts[0].batches(4096)))
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

    path: Path
    row: dict[tuple[int, str], int]
    values: Tensor
    by_generator: bool

    def stand_in(self, images: TensorSet, generators: NDArray[np.int64]) -> TensorSet:
        """The images with their features in place of pixels.

        Raises
        ------
        UserError
            The table lacks some of them.
        """
        makers = generators.tolist() if self.by_generator else [REAL] * images.n
        keys = list(zip(makers, images.rows["id"], strict=True))
        missing = [key[1] for key in keys if key not in self.row]
        if missing:
            raise UserError(
                f"{self.path} lacks the features of {len(missing)} images of {images}, the first {missing[0]}; compute "
                "them for all"
            )
        return images.with_values(self.values[torch.tensor([self.row[key] for key in keys])])


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
            "image, else the generator's place, from 0, in the order of the synthetic folders"
        )
    makers = frame[GENERATOR].tolist() if known else [REAL] * len(frame)
    keys = list(zip(makers, frame["id"].astype(str), strict=True))
    row = {key: i for i, key in enumerate(keys)}
    if len(row) < len(keys):
        twice = next(key[1] for i, key in enumerate(keys) if row[key] != i)
        raise UserError(f"features {path}: the id {twice} appears twice; expected one row an image")
    return Table(path, row, values, known)
