"""Ancestral sampling equals diffusers' with the same fresh noise."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from diffusers import EulerAncestralDiscreteScheduler
from trajectories import BETAS, START, difference, in_double, ours, theirs

from dermforge.common.errors import UserError
from gen.diffusion import solvers
from gen.diffusion.spacing import RAMPS

CONFIG: dict[str, Any] = {"_class_name": "EulerAncestralDiscreteScheduler", "steps_offset": 1}


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("betas", BETAS)
def test_trajectory_equals_diffusers(betas: str, prediction: str) -> None:
    """Shipped single precision is compared on Stable Diffusion's schedule, as in test_ode."""
    double = in_double(EulerAncestralDiscreteScheduler)
    for spacing, zero, steps in itertools.product(("leading", "trailing", "linspace"), (False, True), (1, 2, 4, 30)):
        if zero and prediction == "epsilon":
            continue
        config = CONFIG | BETAS[betas] | {"prediction_type": prediction, "timestep_spacing": spacing}
        config |= {"rescale_betas_zero_snr": zero}
        exact, shipped = (kind.from_config(config) for kind in (double, EulerAncestralDiscreteScheduler))
        exact.set_timesteps(steps)
        shipped.set_timesteps(steps)
        table = solvers.table("euler-ancestral", solvers.read_schedule(config), steps)
        true, single = theirs(exact, START.double()), ours(table, START)
        assert difference(ours(table, START.double()), true) < 1e-6
        assert difference(single, true) < 1e-4
        if betas == "sd" and not zero:
            assert difference(single, theirs(shipped, START)) < 1e-4


def test_the_last_step_takes_no_fresh_noise() -> None:
    noise = solvers.table("euler-ancestral", solvers.read_schedule(CONFIG), 4).coefficients[:, -1]
    assert (noise[:-1] > 0).all()
    assert noise[-1] == 0


@pytest.mark.parametrize("kind", RAMPS)
def test_its_class_has_no_spacing_of_noise_levels(kind: str) -> None:
    """A setting that is left over of another class has no influence, and a plan that names one is refused."""
    left_over = solvers.read_schedule(CONFIG | {f"use_{kind}_sigmas": True})
    plain = solvers.table("euler-ancestral", solvers.read_schedule(CONFIG), 4)
    assert (solvers.table("euler-ancestral", left_over, 4).coefficients == plain.coefficients).all()
    with pytest.raises(UserError, match=f"euler-ancestral has no spacing '{kind}'"):
        solvers.table(f"euler-ancestral:{kind}", left_over, 4)
