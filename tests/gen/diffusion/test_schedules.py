"""Noise schedules: those of diffusers, from the configurations that pipelines carry; others are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from diffusers import DDIMScheduler

from dermforge.common.errors import UserError
from gen.diffusion.schedules import NoiseSchedule

SD: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.mark.parametrize(
    "config",
    [
        SD,
        {},
        {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 400},
        {"trained_betas": list(np.linspace(0.001, 0.02, 100)), "num_train_timesteps": 100},
        SD | {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
    ],
)
def test_signal_is_that_of_the_library(config: dict[str, Any]) -> None:
    """diffusers keeps it in single precision."""
    theirs = DDIMScheduler(**config)
    ours = NoiseSchedule.from_config(config)
    np.testing.assert_allclose(ours.alphas_cumprod, theirs.alphas_cumprod.numpy(), rtol=2e-5, atol=1e-7)
    assert ours.zero_snr == bool(config.get("rescale_betas_zero_snr"))
    assert np.isfinite(ours.levels).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"),
        ({"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid'"),
        ({"prediction_type": "velocity"}, "predicts 'velocity'"),
        ({"prediction_type": "flow_prediction"}, "of flow matching"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "of flow matching"),
    ],
)
def test_what_is_no_variance_preserving_diffusion_is_refused(change: dict[str, Any], said: str) -> None:
    """So is a model that must predict noise from nothing but noise."""
    with pytest.raises(UserError, match=said):
        NoiseSchedule.from_config(SD | change)
