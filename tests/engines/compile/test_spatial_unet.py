"""The pixels-first UNet computes what diffusers' UNet computes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from engines.compile.spatial_unet import PixelNorm, SpatialUNet, supports
from engines.compile.winograd import Winograd, pixel_order, transforms
from gen.builtin.model import LATENT_SIZE, new_unet

Pipelines = Callable[..., StableDiffusionPipeline]


def pixels_first(x: torch.Tensor) -> torch.Tensor:
    return pixel_order(x).permute(2, 0, 1)


@settings(deadline=None, max_examples=20)
@given(
    side=st.sampled_from([4, 8, 16]),
    inputs=st.integers(1, 9),
    outputs=st.integers(1, 9),
    rows=st.integers(1, 3),
    upsampled=st.booleans(),
    seed=st.integers(0, 99),
)
def test_winograd_is_the_convolution(
    side: int, inputs: int, outputs: int, rows: int, upsampled: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    conv, upsampled = nn.Conv2d(inputs, outputs, 3, padding=1), upsampled and side > 4
    given_side = side // 2 if upsampled else side
    x = torch.randn(rows, inputs, given_side, given_side)
    expected = conv(nn.functional.interpolate(x, scale_factor=2) if upsampled else x)
    got = Winograd(conv, side, upsampled)(pixels_first(x)) + conv.bias
    torch.testing.assert_close(got, pixels_first(expected), rtol=1e-4, atol=2e-5)


def test_the_transforms_are_small_for_the_size() -> None:
    """The multiplications are those of F(4x4, 3x3): 36 points for a tile of 16 pixels, 25 of an upsampled map."""
    shapes = [tuple(m.shape) for m in transforms(16)]
    assert shapes == [(4 * 6, 16), (4 * 6, 16), (16, 36)]
    shapes = [tuple(m.shape) for m in transforms(16, upsampled=True)]
    assert shapes == [(4 * 5, 8), (4 * 5, 8), (16, 25)]


@pytest.mark.parametrize("upsampled", [False, True])
def test_rounding_grows_little(upsampled: bool) -> None:
    """Against double precision; at 64 channels the convolution itself in float32 has 2e-7 to 4e-7."""
    torch.manual_seed(0)
    side = 8 if upsampled else 16
    conv, x = nn.Conv2d(64, 64, 3, padding=1, bias=False), torch.randn(4, 64, side, side)
    with torch.no_grad():
        exact = conv.double()(nn.functional.interpolate(x.double(), scale_factor=2) if upsampled else x.double())
        got = Winograd(conv.float(), 16, upsampled)(pixels_first(x))
    assert (got - pixels_first(exact)).norm() / exact.norm() < 2e-6


@pytest.mark.parametrize("side", [4, 8, 16])
def test_pixel_norm_is_group_norm(side: int) -> None:
    torch.manual_seed(0)
    norm, before = nn.GroupNorm(4, 12), torch.randn(3, 12)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(3, 12, side, side) * 3 + 5
    ours = PixelNorm(norm, side)
    torch.testing.assert_close(ours(pixels_first(x)), pixels_first(norm(x)), rtol=1e-4, atol=1e-5)
    moved = norm(x + before[:, :, None, None])
    torch.testing.assert_close(ours(pixels_first(x), before), pixels_first(moved), rtol=1e-4, atol=1e-5)


def relative_error(unet: UNet2DConditionModel, side: int, rows: int = 3) -> float:
    """Of the pixels-first UNet against diffusers' own, with other norms and biases than a new UNet's ones and zeros."""
    torch.manual_seed(1)
    config = unet.config
    args = (
        torch.randn(rows, config.in_channels, side, side),
        torch.linspace(1, 999, rows),
        torch.randn(rows, 16, config.cross_attention_dim),
    )
    with torch.no_grad():
        for parameter in unet.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
        expected, got = unet(*args, return_dict=False)[0], SpatialUNet(unet, side)(*args)
    assert got.shape == expected.shape
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize("inpaint", [False, True])
def test_the_built_in_unet_is_covered(inpaint: bool) -> None:
    """16x16, 8x8 and 4x4 maps of 32, 64 and 128 channels: what the built-in pipeline spends its time on."""
    unet = new_unet(inpaint).eval()
    assert supports(unet, LATENT_SIZE)
    assert relative_error(unet, LATENT_SIZE) < 1e-5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers_per_block": 2},
        {"resnet_time_scale_shift": "default", "addition_embed_type": None},
        {"use_linear_projection": True},
    ],
)
def test_the_whole_unet_agrees_with_diffusers(make_pipeline: Pipelines, options: dict[str, object]) -> None:
    unet = make_pipeline(**options).unet.eval()
    assert supports(unet, 8)
    assert relative_error(unet, 8) < 1e-5


@pytest.mark.parametrize(("inputs", "outputs"), [(8, 8), (16, 16), (33, 16)])
def test_any_number_of_latent_channels_is_served(make_pipeline: Pipelines, inputs: int, outputs: int) -> None:
    """Eight and sixteen channels as well as Stable Diffusion's four, and the inpainting layout of 2 C + 1."""
    unet = make_pipeline(in_channels=inputs, out_channels=outputs).unet.eval()
    assert supports(unet, 8)
    assert relative_error(unet, 8, rows=2) < 1e-5


@pytest.mark.parametrize("options", [{"act_fn": "gelu"}, {"down_block_types": ("DownBlock2D", "AttnDownBlock2D")}])
def test_other_unets_are_left_as_exported(make_pipeline: Pipelines, options: dict[str, object]) -> None:
    assert not supports(make_pipeline(**options).unet, 8)


def test_larger_maps_are_left_as_exported(make_pipeline: Pipelines) -> None:
    assert not supports(make_pipeline().unet, 64)
