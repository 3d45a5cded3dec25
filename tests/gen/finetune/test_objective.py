"""The forward process and what the network predicts."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler

from gen.builtin.model import new_scheduler
from gen.diffusion.schedules import NoiseSchedule
from gen.finetune.objective import Diffusion


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_objective_is_that_of_the_library(prediction: str) -> None:
    """Parity with diffusers' DDPMScheduler, the forward process of its training scripts."""
    config = dict(new_scheduler().config) | {"prediction_type": prediction}
    if prediction == "epsilon":
        config["rescale_betas_zero_snr"] = False
    reference, ours = DDPMScheduler.from_config(config), Diffusion(NoiseSchedule.from_config(config))
    clean, noise = torch.randn(2, 5, 4, 8, 8)
    t = torch.tensor([0, 1, 400, 998, 999])
    torch.testing.assert_close(ours.noised(clean, noise, t), reference.add_noise(clean, noise, t), atol=2e-5, rtol=1e-4)
    target = {"epsilon": noise, "sample": clean, "v_prediction": reference.get_velocity(clean, noise, t)}[prediction]
    torch.testing.assert_close(ours.target(clean, noise, t), target, atol=2e-5, rtol=1e-4)
