"""The learning rate over a run."""

from __future__ import annotations

import math
from typing import Literal

from dermforge.common.errors import UserError

#: After the warm-up: constant, so that a run can be made longer; or a cosine to zero, which decides where a run ends.
Schedule = Literal["constant", "cosine"]


def check_falls(steps: int, warmup: int, schedule: Schedule) -> None:
    """Refuse a run whose rate is to fall, and that ends while it still rises.

    Raises
    ------
    UserError
        The warm-up takes all steps.
    """
    if schedule != "constant" and warmup >= steps:
        raise UserError(
            f"the learning rate rises over {warmup} steps (warmup), and {steps} are made: it never falls; give more "
            f"`steps` than {warmup}, a shorter `warmup`, or `schedule` constant"
        )


def share_of_rate(step: int, steps: int, warmup: int, schedule: Schedule) -> float:
    """The share of the learning rate at a step, counted from 0: a linear rise over `warmup`, then the schedule.

    Source: `get_cosine_schedule_with_warmup` of diffusers, whose first step has a rate of zero.

    Examples
    --------
    >>> [round(share_of_rate(step, 6, 2, "cosine"), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup:
        return (step + 1) / warmup
    return 1.0 if schedule == "constant" else 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
