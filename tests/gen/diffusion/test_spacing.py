"""Noise levels between two ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from gen.diffusion import spacing


@given(st.sampled_from(spacing.RAMPS), st.floats(1e-3, 0.9), st.floats(1.0, 2e4), st.integers(2, 60))
def test_a_ramp_goes_down_from_the_one_end_to_the_other(kind: str, low: float, high: float, steps: int) -> None:
    levels = spacing.ramp(kind, low, high, steps)
    assert len(levels) == steps
    assert (np.diff(levels) < 0).all()
    np.testing.assert_allclose(levels[[0, -1]], [high, low], rtol=1e-9)


@given(st.sampled_from(spacing.RAMPS), st.floats(1e-3, 0.9), st.floats(1.0, 2e4))
def test_one_step_starts_at_the_high_end(kind: str, low: float, high: float) -> None:
    np.testing.assert_allclose(spacing.ramp(kind, low, high, 1), [high], rtol=1e-12)


def test_quantiles_are_those_of_the_beta_distribution() -> None:
    expected = beta.ppf(1 - np.linspace(0, 1, 50), 0.6, 0.6)
    np.testing.assert_allclose(spacing.beta(0.0, 1.0, 50), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", [*spacing.RAMPS, None])
def test_the_ramp_of_settings(kind: str | None) -> None:
    config = {"use_karras_sigmas": False, "use_beta_sigmas": None} | ({f"use_{kind}_sigmas": True} if kind else {})
    assert spacing.ramp_of(config) == kind


def test_the_last_steps_of_a_grid() -> None:
    sigmas = np.array([0.9, 0.5, 0.1, 0.0])
    grid = spacing.Grid(np.array([3.0, 2.0, 1.0]), 1 - sigmas, sigmas, "flow_prediction").last(2)
    assert (len(grid), grid.timesteps.tolist(), grid.sigmas.tolist()) == (2, [2, 1], [0.5, 0.1, 0])
    assert grid.log_snr[-1] == np.inf
