"""How a classifier is trained: one frozen, validated record, kept in every checkpoint."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dermforge.common.errors import UserError

Tuning = Literal["full", "head", "features"]
Mode = Literal["mix", "pretrain-then-tune", "synthetic-only"]
Augment = Literal["none", "light", "randaugment"]

#: Chosen for 64 px on two CPU cores: see `bench train`.
DEFAULT_MODEL = "test_efficientnet"


class Recipe(BaseModel):
    """All that decides a training run apart from its images.

    Attributes
    ----------
    weights
        None: from scratch; "hub": timm's pretrained ones; else a safetensors file.
    tuning
        `full`; `head` (classifier and batch norms with the body frozen, as Sagers 2023); `features` (a linear head on
        the features of the frozen body, computed once).
    ratio
        Synthetic images for each real one, exact to one image in every batch.
    size
        Side in pixels that the model sees.
    steps
        Optimiser steps: the same for every arm that is compared.
    balanced
        Draw every class equally often; `class_weights` weighs the loss instead.
    ema
        Decay of the moving average of the weights; 0: none.
    patience
        Evaluations without improvement before training stops; None: all steps are made. The weights of the best
        evaluation on the real validation images are kept either way.
    pretrain_share
        Share of the steps spent on synthetic images first, for `pretrain-then-tune`.
    split_bn
        Keep own batch norm statistics for synthetic images (Yu 2023); those of real images are used afterwards.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = DEFAULT_MODEL
    weights: str | None = None
    tuning: Tuning = "full"
    mode: Mode = "mix"
    ratio: float = Field(default=0.0, ge=0, le=1000)
    size: int = Field(default=64, ge=16, le=1024)
    steps: int = Field(default=400, ge=1)
    batch: int = Field(default=64, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    augment: Augment = "light"
    class_weights: bool = False
    balanced: bool = False
    ema: float = Field(default=0.0, ge=0, lt=1)
    patience: int | None = Field(default=None, ge=1)
    evaluate_every: int = Field(default=50, ge=1)
    pretrain_share: float = Field(default=0.5, gt=0, lt=1)
    split_bn: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = Field(default=0, ge=0)

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then a cosine to zero."""
        rise = max(1, round(self.warmup * self.steps))
        if step < rise:
            return self.lr * (step + 1) / rise
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise)))


def make_recipe(**fields: object) -> Recipe:
    """A recipe of these fields.

    Raises
    ------
    UserError
        Names the first field that is out of range.
    """
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{first['loc'][0]} {first['input']!r}: {first['msg'].lower()}") from error
