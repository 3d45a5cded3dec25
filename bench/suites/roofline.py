"""The measured ceilings of a device: matrix products in each precision, and copies."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.measure.record import Measurement, higher
from bench.measure.timing import seconds

#: Sides of the square matrices to try; the best counts. A GPU needs large ones, a CPU caches small ones.
SIDES = {"cuda": (2048, 4096, 8192), "cpu": (512, 1024, 2048)}
COPY_BYTES = {"cuda": 1 << 30, "cpu": 128 << 20}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
FP8_FROM = (8, 9)
SLOW_S = 4.0


def precisions(device: torch.device) -> tuple[str, ...]:
    """The precisions that this device multiplies in; on CUDA also TF32 and, where the hardware has it, FP8."""
    if device.type != "cuda":
        return ("fp32", "bf16")
    fp8 = ("fp8",) if torch.cuda.get_device_capability(device) >= FP8_FROM else ()
    return ("fp32", "tf32", "fp16", "bf16", *fp8)


def matmul(device: torch.device, precision: str, *, sides: tuple[int, ...] = (), repeats: int = 5) -> Measurement:
    """TFLOP/s of the fastest square matrix product, on random numbers (zeros draw less power and run faster).

    Parameters
    ----------
    precision
        One of `precisions`.
    sides
        Matrix sides to try [default: those of the device].
    """
    best: list[float] = []
    best_side = 0
    for side in sides or SIDES[device.type]:
        times = seconds(_product(device, precision, side), device, repeats=repeats, warmup=2)
        rates = [2 * side**3 / t / 1e12 for t in times]
        if not best or sorted(rates)[len(rates) // 2] > sorted(best)[len(best) // 2]:
            best, best_side = rates, side
        if 8 * min(times) > SLOW_S:  # the device only emulates this precision
            break
    return higher(f"matmul/{precision}", "TFLOP/s", best, {"side": best_side})


def copy(device: torch.device, *, size: int = 0, repeats: int = 5) -> Measurement:
    """GB/s of a copy in the device's own memory: bytes read and bytes written."""
    size = size or COPY_BYTES[device.type]
    source = torch.randint(0, 256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = seconds(lambda: target.copy_(source), device, repeats=repeats, warmup=2)
    return higher("copy", "GB/s", [2 * size / t / 1e9 for t in times], {"megabytes": size >> 20})


def upload(device: torch.device, *, size: int = 256 << 20, repeats: int = 5) -> Measurement:
    """GB/s from pinned host memory to a CUDA device."""
    source = torch.empty(size, dtype=torch.uint8, pin_memory=True)
    target = torch.empty(size, dtype=torch.uint8, device=device)
    times = seconds(lambda: target.copy_(source, non_blocking=True), device, repeats=repeats, warmup=2)
    return higher("upload", "GB/s", [size / t / 1e9 for t in times])


def _product(device: torch.device, precision: str, side: int) -> Callable[[], object]:
    if precision == "fp8":
        return _fp8_product(device, side)
    dtype = DTYPES.get(precision, torch.float32)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)

    def product() -> None:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        try:
            torch.mm(a, b, out=out)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before

    return product


def _fp8_product(device: torch.device, side: int) -> Callable[[], object]:
    a, b = (torch.randn(side, side, device=device).to(torch.float8_e4m3fn) for _ in range(2))
    one = torch.ones((), device=device)
    columns = b.t()  # the kernel needs the second matrix in column-major order
    return lambda: torch._scaled_mm(a, columns, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
