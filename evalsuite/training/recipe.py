"""How a classifier is trained: one frozen, validated record, kept in every checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dermforge.common.errors import UserError

Tuning = Literal["full", "head", "features"]
Mode = Literal["mix", "pretrain-then-tune", "synthetic-only"]
Augment = Literal["none", "light", "randaugment"]

#: The classifier of photographs where none is named.
DEFAULT_MODEL, DEFAULT_SIZE = "resnet18", 224
#: Where a model's weights come from, apart from a file.
SCRATCH, HUB = "scratch", "hub"


def usual_training(weights: str, tuning: str) -> dict[str, object]:
    """Steps and largest learning rate of AdamW where none are given.

    500 steps are what BiT-HyperRule takes for fewer than 20,000 images (Kolesnikov 2020, arXiv 1912.11370). A
    pretrained body learns slowly; a head, and a model from scratch, at AdamW's usual 1e-3, from scratch for twice as
    long; a linear classifier on features faster still.
    """
    if tuning == "features":
        return {"steps": 500, "lr": 1e-2}
    if tuning == "head":
        return {"steps": 500, "lr": 1e-3}
    return {"steps": 1000, "lr": 1e-3} if weights == SCRATCH else {"steps": 500, "lr": 3e-4}


class Recipe(BaseModel):
    """All that decides a training run apart from its images.

    Attributes
    ----------
    weights
        "scratch": none; "hub": timm's pretrained ones; else a safetensors file.
    tuning
        `full`; `head` (classifier and batch norms with the body frozen, as Sagers 2023); `features` (a linear head on
        the features of the frozen body, computed once).
    ratio
        Synthetic images for each real one, exact to one image in every batch.
    size
        Side in pixels that the model sees.
    steps
        Optimiser steps: the same for every arm that is compared. `usual_training` names those that are not given.
    evaluate_every
        Steps between evaluations on the validation images; a twelfth of all where not given.
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
    weights: str = SCRATCH
    tuning: Tuning = "full"
    mode: Mode = "mix"
    ratio: float = Field(default=0.0, ge=0, le=1000)
    size: int = Field(default=DEFAULT_SIZE, ge=16, le=1024)
    steps: int = Field(ge=1)
    batch: int = Field(default=32, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    augment: Augment = "light"
    class_weights: bool = False
    balanced: bool = False
    ema: float = Field(default=0.0, ge=0, lt=1)
    patience: int | None = Field(default=None, ge=1)
    evaluate_every: int = Field(ge=1)
    pretrain_share: float = Field(default=0.5, gt=0, lt=1)
    split_bn: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, fields: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in fields.items() if value is not None}
        usual = usual_training(given.get("weights", SCRATCH), given.get("tuning", "full"))
        steps = given.get("steps", usual["steps"])
        every = max(1, steps // 12) if isinstance(steps, int) else 1
        return {**usual, "evaluate_every": every, **given}

    @property
    def on_given_features(self) -> bool:
        """Whether the features come from elsewhere: a body of our own must have learnt something."""
        return self.tuning == "features" and self.weights == SCRATCH

    def summary(self) -> str:
        """The classifier in words: architecture, size, where its weights come from, how long it is trained."""
        effort = f"{self.steps} steps of {self.batch} images"
        if self.on_given_features:
            return f"a linear head on a table of features, {effort}"
        begin = {SCRATCH: "trained from scratch", HUB: "pretrained"}
        start = begin.get(self.weights, f"pretrained ({Path(self.weights).name})")
        parts = {"full": "all weights trained", "head": "head and batch norms trained", "features": "head trained"}
        trained = [start] if self.weights == SCRATCH and self.tuning == "full" else [start, parts[self.tuning]]
        return f"{self.model} (timm) at {self.size} px, {', '.join(trained)}, {effort}"

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
        raise UserError(f"`{first['loc'][0]}` is {first['input']!r}: {first['msg'].lower()}") from error
