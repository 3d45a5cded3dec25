"""Step: which kernels one denoising step runs, and what part of the time each kind of them takes."""

from __future__ import annotations

import re
from collections import defaultdict

from bench.measure.device import wait
from bench.measure.record import Detail, Measurement, lower
from bench.suites.gpu.our_engine import Prepared
from bench.suites.gpu.results import Job, Report

TOP = 14
NAME_LETTERS = 70
#: A kernel is of the first kind that its name matches. A layout conversion on the way of a convolution is pure loss.
KINDS = {
    "fused pointwise and norms": r"^triton_(poi|red|per|for)",
    "layout conversions": r"nchwtonhwc|nhwctonchw|nchw2nhwc|nhwc2nchw|transpose",
    "attention": r"flash|fmha|attention|sdpa|softmax",
    "convolutions": r"conv|fprop|dgrad|wgrad|winograd",
    "matrix products": r"gemm|nvjet|cutlass|cublas|\bmm\b|bmm|addmm|matmul|^triton_tem",
    "norms": r"norm|welford",
    "pointwise": r"^triton_|elementwise|pointwise|vectorized",
    "copies": r"memcpy|memset|copy",
}
OTHER = "other"


def kind_of(kernel: str) -> str:
    """The kind of a kernel, by its name."""
    name = kernel.lower()
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), OTHER)


def kernels(job: Job, report: Report, ours: Prepared) -> None:
    """Profile one replay of the step: the longest kernels, and the share of each kind."""
    from torch.profiler import ProfilerActivity, profile

    device = ours.engine.device
    step = ours.step()
    step()
    wait(device)
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as seen:
        step()
        wait(device)
    times: dict[str, tuple[float, int]] = {}
    for event in seen.key_averages():
        took = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if took > 0:
            times[event.key] = (took / 1000, event.count)
    if not times:
        raise RuntimeError("the profiler saw no kernels: it may lack the permission to trace this device")
    for name, (ms, calls) in sorted(times.items(), key=lambda one: -one[1][0])[:TOP]:
        report.note(kernel=name[:NAME_LETTERS], ms=round(ms, 3), calls=calls, kind=kind_of(name))
    report.measured(*shares(ours.name, times))


def shares(whose: str, times: dict[str, tuple[float, int]]) -> list[Measurement]:
    """Milliseconds of each kind of kernel, and the longest of it: for attention, its backend.

    Parameters
    ----------
    times
        Milliseconds and calls, by the kernel's name.
    """
    whole = sum(ms for ms, _ in times.values())
    kinds = defaultdict[str, list[tuple[float, int, str]]](list)
    for name, (ms, calls) in times.items():
        kinds[kind_of(name)].append((ms, calls, name))
    found = []
    for kind, seen in kinds.items():
        ms = sum(one[0] for one in seen)
        details: dict[str, Detail] = {"of the step": round(ms / whole, 3), "calls": sum(one[1] for one in seen)}
        details["longest"] = max(seen)[2][:NAME_LETTERS]
        found.append(lower(f"kernels/{whose}/{kind}", "ms", [ms], details))
    return sorted(found, key=lambda m: -m.median)
