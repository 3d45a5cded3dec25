"""Steps: the ceilings of the GPU. Each precision is a step: a kernel that fails in one says nothing of the others."""

from __future__ import annotations

from functools import partial

from bench.suites import roofline
from bench.suites.gpu.effort import device_of, effort
from bench.suites.gpu.results import Job, Report, Skipped

REPEATS = 5


def _matmul(precision: str, job: Job, report: Report) -> None:
    device = device_of(job)
    if precision not in roofline.precisions(device):
        raise Skipped(f"this device does not multiply in {precision}")
    report.measured(roofline.matmul(device, precision, sides=effort(job).sides, repeats=REPEATS))


fp16, bf16, fp8, tf32, fp32 = (partial(_matmul, name) for name in ("fp16", "bf16", "fp8", "tf32", "fp32"))


def copies(job: Job, report: Report) -> None:
    """Copies in the device's memory, and to it."""
    device = device_of(job)
    report.measured(roofline.copy(device, size=effort(job).copied, repeats=REPEATS))
    if device.type == "cuda":
        report.measured(roofline.upload(device, repeats=REPEATS))
