"""Features of a frozen body, computed once: an arm is then a linear head, and hundreds of arms take minutes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dermforge.common.errors import UserError
from evalsuite.training import model as models
from evalsuite.training.data.schedule import TrainingSet
from evalsuite.training.preprocessing import evaluation_input
from shards.mixing.tensors import TensorSet


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
