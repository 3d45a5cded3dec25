"""The pixels-first UNet computes what diffusers' UNet computes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers import StableDiffusionPipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from engines.spatial import PixelNorm, SpatialUNet, supports
from engines.winograd import Winograd, tile_order, transforms

Pipelines = Callable[..., StableDiffusionPipeline]


def pixels_first(x: torch.Tensor) -> torch.Tensor:
    return tile_order(x).permute(2, 0, 1)


@settings(deadline=None, max_examples=20)
@given(side=st.sampled_from([4, 8]), inputs=st.integers(1, 9), outputs=st.integers(1, 9), rows=st.integers(1, 3),
       upsampled=st.booleans(), seed=st.integers(0, 99))
def test_winograd_is_the_convolution(
    side: int, inputs: int, outputs: int, rows: int, upsampled: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    conv, upsampled = nn.Conv2d(inputs, outputs, 3, padding=1), upsampled and side == 8
    given_side = side // 2 if upsampled else side
    x = torch.randn(rows, inputs, given_side, given_side)
    expected = conv(nn.functional.interpolate(x, scale_factor=2) if upsampled else x)
    torch.testing.assert_close(
        Winograd(conv, side, upsampled)(pixels_first(x)), pixels_first(expected), rtol=1e-4, atol=2e-5
    )


def test_the_transforms_are_small_for_the_size() -> None:
    """The multiplications are those of F(4x4, 3x3): 36 points for a tile of 16 pixels."""
    to_points, from_points = transforms(8)
    assert to_points.shape == (4 * 36, 64)
    assert from_points.shape == (16, 36)


def test_pixel_norm_is_group_norm() -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(4, 12)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(3, 12, 8, 8) * 3 + 5
    torch.testing.assert_close(PixelNorm(norm, 8)(pixels_first(x)), pixels_first(norm(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"layers_per_block": 2}, {"resnet_time_scale_shift": "default", "addition_embed_type": None},
     {"use_linear_projection": True}],
)
def test_the_whole_unet_agrees_with_diffusers(make_pipeline: Pipelines, options: dict[str, object]) -> None:
    unet = make_pipeline(**options).unet.eval()
    assert supports(unet, 8)
    args = torch.randn(3, 4, 8, 8), torch.tensor([1.0, 500.0, 999.0]), torch.randn(3, 16, 32)
    with torch.no_grad():
        expected, got = unet(*args, return_dict=False)[0], SpatialUNet(unet, 8)(*args)
    assert (got - expected).norm() / expected.norm() < 1e-5


@pytest.mark.parametrize(("inputs", "outputs"), [(8, 8), (16, 16), (33, 16)])
def test_any_number_of_latent_channels_is_served(make_pipeline: Pipelines, inputs: int, outputs: int) -> None:
    """Eight and sixteen channels as well as Stable Diffusion's four, and the inpainting layout of 2 C + 1."""
    unet = make_pipeline(in_channels=inputs, out_channels=outputs).unet.eval()
    assert supports(unet, 8)
    args = torch.randn(2, inputs, 8, 8), torch.tensor([1.0, 999.0]), torch.randn(2, 16, 32)
    with torch.no_grad():
        expected, got = unet(*args, return_dict=False)[0], SpatialUNet(unet, 8)(*args)
    assert got.shape == (2, outputs, 8, 8)
    assert (got - expected).norm() / expected.norm() < 1e-5


@pytest.mark.parametrize("options", [{"act_fn": "gelu"}, {"down_block_types": ("DownBlock2D", "AttnDownBlock2D")}])
def test_other_unets_are_left_as_exported(make_pipeline: Pipelines, options: dict[str, object]) -> None:
    assert not supports(make_pipeline(**options).unet, 8)


def test_larger_maps_are_left_as_exported(make_pipeline: Pipelines) -> None:
    assert not supports(make_pipeline().unet, 64)
