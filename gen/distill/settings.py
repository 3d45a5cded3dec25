"""What decides the weights of a student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from dermforge.common.errors import UserError
from gen.distill.consistency import Weighting
from gen.finetune.settings import LARGEST_RANK, Hyperparameters, Method

#: Learning rate where the user names none, and epochs, which are not used. full: Luo et al. 2023 (arXiv 2310.04378);
#: lora: diffusers' example.
DEFAULTS: dict[str, tuple[float, int]] = {"full": (8e-6, 1), "lora": (1e-4, 1)}


class Distillation(Hyperparameters):
    """What decides the weights of a student; where no source is named, a default is that of diffusers' examples.

    Attributes
    ----------
    guidance
        The teacher's scale: two equal numbers are one that the student learns for good, others a range whose scales
        become an input of the student.
    teacher_steps
        Steps of the teacher's solver over the whole schedule, of which each trains the student; Luo et al. 2023 skip
        20 timesteps, which are 50 steps.
    huber
        c of the pseudo-Huber loss.
    weighting
        Of the distance at a timestep, as `ConsistencyObjective` says it.
    ema
        Decay of the target, which is the average of the student's weights, and the result.
    """

    defaults: ClassVar[Mapping[str, tuple[float, int]]] = DEFAULTS
    later: ClassVar[Mapping[str, object]] = {**Hyperparameters.later, "weighting": "uniform"}

    method: Method = Field(pattern="^(full|lora)$")
    guidance: tuple[float, float] = (3.0, 3.0)
    teacher_steps: int = Field(default=50, ge=2, le=1000)
    few_steps: int = Field(default=4, ge=1, le=50)
    huber: float = Field(default=1e-3, gt=0)
    weighting: Weighting = "uniform"
    weight_decay: float = Field(default=0.0, ge=0)
    rank: int = Field(default=64, ge=1, le=LARGEST_RANK)
    ema: float = Field(default=0.95, ge=0, lt=1)
    prior: Literal[0] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Distillation:
        low, high = self.guidance
        if not 1 <= low <= high <= 100:
            raise ValueError(f"guidance goes from {low:g} to {high:g}; expected numbers from 1 to 100 that rise")
        if self.embedded and self.method == "lora":
            raise ValueError(
                "guidance as an input needs a layer that LoRA does not have; take method full, or one scale"
            )
        return self

    @property
    def embedded(self) -> bool:
        """Whether guidance is an input of the student."""
        return self.guidance[0] < self.guidance[1]

    def few(self) -> dict[str, Any]:
        """How images of the student are drawn, where nobody says otherwise."""
        low, high = self.guidance
        usual = (low + high) / 2 if self.embedded else 1.0
        return {"solver": "lcm", "steps": self.few_steps, "guidance": usual}


def parse_guidance(text: str) -> tuple[float, float]:
    """A scale, or a range of scales written as LOW:HIGH.

    Raises
    ------
    UserError
        The text is neither.
    """
    low, _, high = text.partition(":")
    try:
        return float(low), float(high or low)
    except ValueError as error:
        raise UserError(f"guidance {text!r}; expected one scale, as 3, or a range LOW:HIGH, as 2:8") from error
