"""A base's steps in a student's table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dermforge.common.errors import UserError
from engines.pipeline_spec import PipelineSpec
from gen.builtin.model import new_scheduler
from gen.diffusion.base_first import SOLVERS, guided_steps, with_base
from gen.diffusion.ode import ddim
from gen.diffusion.schedules import NoiseSchedule
from gen.diffusion.solvers import SOLVERS as ALL
from gen.diffusion.solvers import table

SCHEDULE = NoiseSchedule.from_config(new_scheduler().config)
BASE: Any = PipelineSpec.model_construct(prediction_type="v_prediction", guidance="classifier-free")


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_step_of_the_base_goes_from_level_to_level_without_fresh_noise(solver: str) -> None:
    own = table(solver, SCHEDULE, 4)
    for n in range(5):
        made = with_base(own, solver, n, BASE)
        assert np.array_equal(made.coefficients[n:], own.coefficients[n:])
        assert np.array_equal(made.timesteps, own.timesteps)
    step, clean, noise = with_base(own, solver, 4, BASE), 0.7, -1.3
    x = own.alphas[0] * clean + own.sigmas[0] * noise
    for k, c in enumerate(step.coefficients):  # a denoiser that knows the truth
        out = own.alphas[k] * noise - own.sigmas[k] * clean
        d0 = c[0] * x + c[1] * out
        base = c[2] * x + c[4] * d0
        x = c[7] * base + c[8] * d0
        assert d0 == pytest.approx(clean, abs=1e-6)
        assert x == pytest.approx(own.alphas[k + 1] * clean + own.sigmas[k + 1] * noise, abs=1e-6)


def test_a_base_of_all_steps_is_ddim_at_the_timesteps_of_ddim() -> None:
    own = table("ddim", SCHEDULE, 5)
    np.testing.assert_allclose(with_base(own, "ddim", 5, BASE).coefficients, ddim(SCHEDULE, 5, 5, 1.0).coefficients)


@pytest.mark.parametrize("solver", sorted({*ALL} - {*SOLVERS}))
def test_a_solver_that_looks_back_is_refused(solver: str) -> None:
    with pytest.raises(UserError, match="looks back"):
        with_base(table(solver, SCHEDULE, 4), solver, 1, BASE)


def test_a_base_that_is_not_there_or_too_many_steps_are_refused() -> None:
    own = table("lcm", SCHEDULE, 4)
    assert with_base(own, "lcm", 0, None) is own
    for solver, steps in (("lcm", 1), ("lcm", 5), ("dpmsolver++", 1)):  # of no use to hear of another solver first
        with pytest.raises(UserError, match="the bundle has none"):
            with_base(own, solver, steps, None)
    with pytest.raises(UserError, match="5 of 4 steps"):
        with_base(own, "lcm", 5, BASE)


def test_only_the_steps_of_the_base_are_guided() -> None:
    own = table("lcm", SCHEDULE, 4)
    assert guided_steps(own, None, 3.0, 1, "none", "classifier-free").tolist() == [True, False, False, False]
    assert not guided_steps(own, None, 1.0, 1, "none", "classifier-free").any()
    assert not guided_steps(own, (0.0, 5.0), 3.0, 1, "none", "classifier-free").any()
    assert guided_steps(own, None, 3.0, 0, "classifier-free").all()
