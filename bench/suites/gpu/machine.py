"""Steps: what the run measures on, and what `gen doctor` says of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

from bench.suites.gpu.results import Job, Report
from dermforge.common import processes
from dermforge.common.errors import CheckFailed


def machine(job: Job, report: Report) -> None:
    """Device, versions, and torch's switches that decide which kernels run."""
    import torch

    from bench.measure.device import describe
    from bench.suites.gpu.effort import device_of

    device = device_of(job)
    report.facts(describe(device))
    switches = {
        "cudnn": torch.backends.cudnn.version(),
        "TF32 in convolutions": torch.backends.cudnn.allow_tf32,
        "TF32 in matrix products": torch.backends.cuda.matmul.allow_tf32,
        "flash attention": torch.backends.cuda.flash_sdp_enabled(),
        "memory-efficient attention": torch.backends.cuda.mem_efficient_sdp_enabled(),
        "cudnn attention": torch.backends.cuda.cudnn_sdp_enabled(),
    }
    report.note(torch=torch.__version__, **switches)
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        report.note(memory_gb={"free": round(free / 1e9, 1), "whole": round(total / 1e9, 1)})
        if shutil.which("nvidia-smi"):
            with processes.program(["nvidia-smi"], stdin=subprocess.DEVNULL):  # into the log
                pass


def doctor(job: Job, report: Report) -> None:
    """`gen doctor`, as a user would run it."""
    command = [sys.executable, "-P", "-m", "gen", "doctor", "--json"]
    with processes.program(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        printed = process.communicate()[0]
    if process.returncode:
        raise CheckFailed(f"gen doctor ended with exit status {process.returncode}; see the log")
    report.note(doctor=json.loads(printed))
