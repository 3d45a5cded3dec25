"""What decides the weights of a small decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dermforge.common.errors import UserError
from engines.pipeline_spec import LARGEST_SIDE
from gen.finetune.rate import Schedule, check_falls, share_of_rate
from gen.finetune.settings import Precision


class DecoderSettings(BaseModel):
    """What decides the weights.

    Attributes
    ----------
    width
        Channels of every layer; None for half of those of the VAE's largest maps, which is TAESD's 64 for Stable
        Diffusion.
    blocks
        Residual blocks before each enlargement; there is one after the last.
    batch
        Images of one optimiser step, over all processes together.
    schedule
        Of the learning rate, after it has risen over `warmup` steps.
    views
        Crops and flips of each image that are encoded, taken in turn.
    ema
        Decay of the averaged weights; 0 for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    #: What runs from before it do not say, and the value that they had.
    later: ClassVar[Mapping[str, object]] = {"schedule": "constant"}

    width: int | None = Field(default=None, ge=4, le=512)
    blocks: int = Field(default=3, ge=1, le=16)
    steps: int = Field(default=4000, ge=1)
    batch: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0, lt=1)
    warmup: int = Field(default=100, ge=0)
    schedule: Schedule = "cosine"
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.995, ge=0, lt=1)
    size: int | None = Field(default=None, ge=8, le=LARGEST_SIDE)
    views: int = Field(default=8, ge=1)
    mixed_precision: Precision = "no"
    seed: int = 0

    @model_validator(mode="after")
    def _falls(self) -> Self:
        check_falls(self.steps, self.warmup, self.schedule)
        return self

    @classmethod
    def check(cls, **given: object) -> Self:
        """The settings. Raises UserError for a number out of range."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            if not first["loc"]:
                raise UserError(str(first["ctx"]["error"])) from error
            raise UserError(f"`{first['loc'][0]}` is {first['input']!r}: {first['msg'].lower()}") from error

    def views_for(self, images: int) -> int:
        """Views of each image that are ever asked for."""
        return min(self.views, -(-self.steps * self.batch // images))

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0, of a run of so many."""
        return self.learning_rate * share_of_rate(step, steps, self.warmup, self.schedule)

    def identity(self) -> dict[str, object]:
        """What a checkpoint must agree in to be resumed; at a constant rate a run may be made longer."""
        constant = self.schedule == "constant"  # as all were before there was a schedule
        return self.model_dump(mode="json", exclude={"steps", "schedule"} if constant else None)
