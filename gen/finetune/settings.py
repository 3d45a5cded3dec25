"""What decides the weights of a tuned model, and what only decides how they are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dermforge.common.errors import UserError
from engines.pipeline_spec import LARGEST_SIDE
from gen.finetune.rate import Schedule, check_falls, share_of_rate

Method = Literal["full", "lora", "textual-inversion"]
Precision = Literal["no", "fp16", "bf16"]

#: Learning rate and epochs where the user names none. full: Sagers et al. 2023; the others: diffusers' examples.
DEFAULTS: dict[str, tuple[float, int]] = {"full": (5e-6, 4), "lora": (1e-4, 20), "textual-inversion": (5e-4, 20)}

#: Of LoRA: a mistyped number asks for more memory than any machine has.
LARGEST_RANK = 1024


class Hyperparameters(BaseModel):
    """What decides the weights; the defaults are those of Sagers et al. 2023.

    Attributes
    ----------
    batch
        Images of one optimiser step, over all processes together.
    jitter
        Relative change of brightness, contrast, saturation and hue; 0.05 in the paper. 0 leaves skin tones as they are.
    schedule
        Of the learning rate, after it has risen over `warmup` steps.
    drop_prompt
        How often the prompt is left out, for guidance.
    prior, prior_weight, prior_prompt
        Images drawn by the base model and learnt together with the real ones, so that it forgets less (DreamBooth).
    min_snr
        The largest signal-to-noise ratio that counts in the loss, usually 5; 0 for all. Not in flow matching.
    ema
        Decay of the averaged weights; 0 for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    defaults: ClassVar[Mapping[str, tuple[float, int]]] = DEFAULTS
    #: What runs from before it do not say, and the value that they had.
    later: ClassVar[Mapping[str, object]] = {"min_snr": 0.0, "schedule": "constant"}

    method: Method
    learning_rate: float = Field(gt=0, lt=1)
    epochs: int = Field(ge=1)
    steps: int | None = Field(default=None, ge=1)
    batch: int = Field(default=4, ge=1)
    size: int | None = Field(default=None, ge=8, le=LARGEST_SIDE)
    template: str | None = None
    warmup: int = Field(default=0, ge=0)
    schedule: Schedule = "constant"
    weight_decay: float = Field(default=1e-2, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = Field(default=1.0, gt=0)
    views: int = Field(default=8, ge=1)
    jitter: float = Field(default=0.0, ge=0, le=0.5)
    drop_prompt: float = Field(default=0.0, ge=0, lt=1)
    rank: int = Field(default=16, ge=1, le=LARGEST_RANK)
    prior: int = Field(default=0, ge=0)
    prior_weight: float = Field(default=1.0, ge=0)
    prior_prompt: str = "An image of a skin disease"
    min_snr: float = Field(default=0.0, ge=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    mixed_precision: Precision = "no"
    seed: int = 0

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.steps:
            check_falls(self.steps, self.warmup, self.schedule)
        return self

    @classmethod
    def check(cls, **given: object) -> Self:
        """The settings, with the method's own defaults for a learning rate or epochs of None.

        Raises
        ------
        UserError
            An unknown method, or a number out of range.
        """
        method = str(given["method"])
        if method not in cls.defaults:
            raise UserError(f"unknown method {method!r}; expected one of {', '.join(cls.defaults)}")
        for name, value in zip(("learning_rate", "epochs"), cls.defaults[method], strict=True):
            if given.get(name) is None:
                given[name] = value
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            if not first["loc"]:
                raise UserError(str(first["ctx"]["error"])) from error
            raise UserError(f"`{first['loc'][0]}` is {first['input']!r}: {first['msg'].lower()}") from error

    def steps_for(self, images: int) -> int:
        """Optimiser steps; an epoch is rounded up to whole batches, as in the paper.

        Raises
        ------
        UserError
            The learning rate is to fall, and rises over all of them.
        """
        steps = self.steps or self.epochs * -(-images // self.batch)
        check_falls(steps, self.warmup, self.schedule)
        return steps

    def views_for(self, images: int) -> int:
        """Augmented views of each image that are ever asked for."""
        passes = -(-self.steps_for(images) * self.batch // images)
        return min(self.views, passes)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0, of a run of so many."""
        return self.learning_rate * share_of_rate(step, steps, self.warmup, self.schedule)

    def identity(self, steps: int) -> dict[str, object]:
        """What a checkpoint must agree in to be resumed; at a constant rate a run may be made longer."""
        unsaid = {name for name, value in self.later.items() if getattr(self, name) == value}
        said = self.model_dump(mode="json", exclude={"epochs", "steps", *unsaid})
        return said if self.schedule == "constant" else said | {"steps": steps}


@dataclass(frozen=True)
class Execution:
    """How a run is done. micro_batch: images a process takes at once (0: all of its own); track: tools that log it.

    `fresh` starts again instead of resuming; `keep_adapter` also writes LoRA's adapter alone; `keep_work` keeps the
    working folder, so that the run can be made longer.

    Raises
    ------
    UserError
        A number is negative.
    """

    micro_batch: int = 0
    checkpoint_every: int = 500
    validate_every: int = 0
    validation_steps: int = 25
    guidance: float = 3.0
    gradient_checkpointing: bool = False
    keep_adapter: bool = False
    keep_work: bool = False
    fresh: bool = False
    track: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("micro_batch", "checkpoint_every", "validate_every"):
            if (value := getattr(self, name)) < 0:
                raise UserError(f"`{name}` is {value}; expected 0 or more")
