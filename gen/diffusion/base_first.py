"""The first steps by a base, the rest by its few-step student (arXiv 2503.10637): tables, and which are guided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from engines.pipeline_spec import PipelineSpec
from gen.diffusion.steps import StepTable, first_order

#: Solvers whose steps do not look back at the step before, so that a step of another denoiser may come first.
SOLVERS = ("ddim", "euler", "euler-ancestral", "lcm", "tcd")


def with_base(table: StepTable, solver: str, base_steps: int, base: PipelineSpec | None) -> StepTable:
    """A student's table whose first steps are taken by the base: steps of DDIM between the same noise levels.

    Raises
    ------
    UserError
        There is no base, there are fewer steps, or the solver looks back.
    """
    if not base_steps:
        return table
    if base is None:
        raise UserError(
            f"the plan gives {base_steps} steps to a base, and the bundle has none: build one with its student's base "
            "(`gen build-engine --few-steps`), or plan `base_steps` 0"
        )
    check_base_steps(solver, len(table), base_steps)
    alpha, sigma = table.alphas[: base_steps + 1], table.sigmas[: base_steps + 1]
    coefficients = table.coefficients.copy()
    coefficients[:base_steps] = first_order(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], base.prediction_type)
    return replace(table, coefficients=coefficients)


def check_base_steps(solver: str, steps: int, base_steps: int) -> None:
    """Refuse steps of a base that no bundle could make.

    Raises
    ------
    UserError
        There are fewer steps, or the solver looks back.
    """
    if base_steps and (name := solver.partition(":")[0]) not in SOLVERS:
        raise UserError(
            f"{name} looks back at the step before, which a base took; expected one of {', '.join(SOLVERS)}, or "
            "`base_steps` 0"
        )
    if base_steps > steps:
        raise UserError(f"the plan gives {base_steps} of {steps} steps to the base; expected at most {steps}")


def guided_steps(
    table: StepTable,
    interval: tuple[float, float] | None,
    guidance: float,
    base_steps: int,
    own: str,
    base: str | None = None,
) -> NDArray[np.bool_]:
    """Which steps take a second prediction, of the negative prompt, [K]: those of a denoiser that is guided so.

    Parameters
    ----------
    own, base
        `PipelineSpec.guidance` of the engine's denoiser, and of its base's.
    """
    free = np.full(len(table), own == "classifier-free")
    if base is not None:
        free[:base_steps] = base == "classifier-free"
    return np.asarray(table.guided(interval) & free & (guidance > 1), dtype=np.bool_)
