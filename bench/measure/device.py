"""What a number was measured on: device, driver, versions, commit, and the load of other processes."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Set
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch

PACKAGES = (
    "dermforge",
    "torch",
    "diffusers",
    "transformers",
    "optimum",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt_rtx_cu13_libs",
    "timm",
    "webdataset",
    "numpy",
)
BUSY = 0.2  # of the cores' time, just before the benchmark began
LOOK_S = 0.4
STAT = Path("/proc/stat")


class Facts(BaseModel):
    """The machine and the software that a benchmark ran on.

    Attributes
    ----------
    commit
        Of the source tree; ends in "+" if files were changed, and is "unknown" outside a checkout.
    load
        Share of the cores' time that other processes used just before; above 0.2 they disturb the numbers. (Not the
        system's load average, which counts the benchmark that has just ended.)
    """

    model_config = ConfigDict(frozen=True)

    date: str
    device: str
    kind: str
    memory_gb: float
    cores: int
    threads: int
    driver: str | None
    cuda: str | None
    system: str
    versions: dict[str, str]
    commit: str
    load: float

    @property
    def quiet(self) -> bool:
        """Whether other processes were idle enough for the numbers to be quoted."""
        return self.load <= BUSY


def describe(device: torch.device) -> Facts:
    """The facts of this machine and of one of its devices, now."""
    import torch

    cuda = device.type == "cuda"
    cores = len(os.sched_getaffinity(0))
    return Facts(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        device=torch.cuda.get_device_name(device) if cuda else _cpu_name(),
        kind=device.type,
        memory_gb=round((torch.cuda.get_device_properties(device).total_memory if cuda else _ram()) / 1e9, 1),
        cores=cores,
        threads=torch.get_num_threads(),
        driver=_driver() if cuda else None,
        cuda=torch.version.cuda if cuda else None,
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        versions=_versions(),
        commit=_commit(),
        load=round(load_of_others(), 2),
    )


def load_of_others(seconds: float = LOOK_S) -> float:
    """Share of this process's cores that other processes use during a short wait, 0 to 1.

    The load average per core where the system has no per-core times.
    """
    cores = os.sched_getaffinity(0)
    if not STAT.exists():
        return os.getloadavg()[0] / len(cores)
    before, own = _busy_seconds(cores), time.process_time()
    time.sleep(seconds)
    others = _busy_seconds(cores) - before - (time.process_time() - own)
    return max(0.0, others / (seconds * len(cores)))


def _busy_seconds(cores: Set[int]) -> float:
    """CPU seconds that these cores were busy since the machine started (man 5 proc_stat)."""
    names = {f"cpu{core}" for core in cores}
    lines = [line.split() for line in STAT.read_text(encoding="ascii").splitlines()]
    ticks = [list(map(int, line[1:])) for line in lines if line[0] in names]
    return sum(sum(one[:8]) - one[3] - one[4] for one in ticks) / os.sysconf("SC_CLK_TCK")


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


class PeakMemory:
    """Peak memory of a block of code: of the device on CUDA, else of this process.

    Parameters
    ----------
    added
        Count only what the block takes beyond what was held when it began: others that are open do not count.

    Attributes
    ----------
    megabytes
        Set when the block ends; NaN where the system does not report it.
    """

    STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def __init__(self, device: torch.device, *, added: bool = False) -> None:
        self.device, self.added, self.megabytes = device, added, float("nan")
        self.torchs, self.everyones = 0.0, 0.0

    def __enter__(self) -> PeakMemory:
        import torch

        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            if self.added:
                torch.cuda.empty_cache()  # what is free and kept would be taken without being seen
                free, total = torch.cuda.mem_get_info(self.device)
                self.torchs, self.everyones = torch.cuda.memory_allocated(self.device), total - free
        elif os.access(self.RESET, os.W_OK):
            self.RESET.write_text("5")  # resets the high-water mark, man 5 proc
            self.everyones = self._status("VmRSS") if self.added else 0.0
        return self

    def __exit__(self, *error: object) -> None:
        import torch

        if self.device.type == "cuda":
            # The larger of torch's own peak and all memory in use: ONNX Runtime and TensorRT allocate outside torch.
            free, total = torch.cuda.mem_get_info(self.device)
            peak = torch.cuda.max_memory_allocated(self.device)
            self.megabytes = max(peak - self.torchs, total - free - self.everyones) / 1e6
        elif self.STATUS.exists():
            self.megabytes = (self._status("VmHWM") - self.everyones) / 1e6

    def _status(self, name: str) -> float:
        """Bytes of one line of this process's status."""
        lines = dict(line.split(":", 1) for line in self.STATUS.read_text().splitlines())
        return int(lines[name].split()[0]) * 1024


def own_peak(device: torch.device) -> float:
    """Most megabytes that this process has held so far: of the device through torch on CUDA, else of the machine."""
    import resource

    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    if given := os.environ.get("DERMFORGE_COMMIT"):  # an image has no .git
        return given
    here = Path(__file__).resolve().parent
    head = _run(["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"])
    if not head:
        return "unknown"
    changed = _run(["git", "-C", str(here), "status", "--porcelain", "--untracked-files=no"])
    return f"{head}+" if changed else head


def _driver() -> str | None:
    lines = _run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]).splitlines()
    return lines[0].strip() if lines else None


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return f"{line.split(':', 1)[1].strip()} ({len(os.sched_getaffinity(0))} cores)"
    return platform.processor() or platform.machine()


def _ram() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
