"""Kernels by kind: names as Inductor, cudnn, cublas and torch give them on Hopper."""

from __future__ import annotations

import pytest

from bench.suites.gpu.kernels import KINDS, OTHER, kind_of, shares


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, 64>>", "attention"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_3_64x128x64", "attention"),
        ("fmha_cutlassF_f16_aligned_64x128_rf_sm80(PyTorchMemEffAttention)", "attention"),
        ("sm90_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc_tilesize128x128x64", "convolutions"),
        ("void cudnn::engines_precompiled::nchwToNhwcKernel<__half, __half, float>", "layout conversions"),
        ("void cudnn::engines_precompiled::nhwcToNchwKernel<__half>", "layout conversions"),
        ("triton_poi_fused_convolution_silu_12", "fused pointwise and norms"),
        ("triton_red_fused_native_group_norm_4", "fused pointwise and norms"),
        ("triton_tem_fused_addmm_3", "matrix products"),
        ("nvjet_hsh_128x256_64x4_2x1_v_bz_TNT", "matrix products"),
        ("void cutlass::Kernel2<cutlass_80_wmma_tensorop_f16_s161616gemm>", "matrix products"),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add>", "pointwise"),
        ("Memcpy DtoD (Device -> Device)", "copies"),
        ("void at::native::index_select_kernel", OTHER),
    ],
)
def test_the_kind_of_a_kernel(kernel: str, kind: str) -> None:
    assert kind_of(kernel) == kind
    assert kind in (*KINDS, OTHER)


def test_the_shares_are_of_the_whole_step() -> None:
    """Longest first, each with its calls and its longest kernel."""
    times = {"flash_fwd": (3.0, 2), "flash_other": (1.0, 1), "nvjet": (5.0, 4), "unheard of": (1.0, 1)}
    found = shares("ours", times)
    assert [m.name for m in found] == [f"kernels/ours/{kind}" for kind in ("matrix products", "attention", OTHER)]
    assert [m.median for m in found] == [5.0, 4.0, 1.0]
    assert [m.details["of the step"] for m in found] == [0.5, 0.4, 0.1]
    assert (found[1].details["calls"], found[1].details["longest"]) == (3, "flash_fwd")
