"""Memory: what a build or a load needs compared with what is free, before it starts."""

from __future__ import annotations

import ctypes
import gc
import math
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from engines.checkpoint.folder import weight_files
from engines.errors import EngineError

# Peak bytes per byte of the largest network's float32 weights, without what the libraries take. Measured with the
# built-in pipeline, and with SD 1.5 in fp16 for sm_89: 7.1 GB for 3.4 GB, as the certificate runs the UNet's graph.
EXPORT_FACTOR = {"fp32": 2.5, "fp16": 1.8, "bf16": 1.8, "fp8": 1.8}
LIBRARIES = 1_000_000_000
MUCH = 2_000_000_000


def build_bytes(model: Path, precision: str) -> int:
    """Bytes of memory that a build of a pipeline folder is expected to reach."""
    from engines.checkpoint.skeleton import parts_of

    largest = max(sum(map(float32_bytes, weight_files(model, part).files)) for part in parts_of(model))
    return LIBRARIES + int(largest * EXPORT_FACTOR[precision])


def float32_bytes(weights: Path) -> int:
    """Bytes of a safetensors file's numbers in float32, whatever precision they are stored in.

    Raises
    ------
    EngineError
        The file is truncated or altered.
    """
    try:
        with safe_open(weights, "numpy") as file:
            return sum(4 * math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except SafetensorError as error:
        raise EngineError(f"{weights} is not a whole safetensors file ({error}): copy or download it again") from error


def available_bytes() -> int | None:
    """Bytes that this process may still take, of the machine or of its control group, whichever has less; or None."""
    found = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and limit.read_text().strip() != "max":
        found.append(int(limit.read_text()) - int(used.read_text()))
    return min(found) if found else None


def give_back() -> None:
    """Return unused memory to the system: an export leaves gigabytes in reference cycles and in free lists.

    It takes half a second, so a process that holds less than `MUCH` keeps what it has.
    """
    held = resident_bytes()
    if held is not None and held < MUCH:
        return
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def resident_bytes() -> int | None:
    """Bytes that this process holds, without what it shares with others or maps; None where the system does not say."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return None
    _, resident, shared, *_ = map(int, status.read_text().split())
    return (resident - shared) * resource.getpagesize()


def require(needed: int, what: str) -> None:
    """Refuse a job that will not fit into memory.

    Raises
    ------
    EngineError
        Less memory is free than the job is expected to need.
    """
    free = available_bytes()
    if free is not None and needed > free:
        raise EngineError(
            f"{what} needs about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB is free: "
            "use a larger machine, or precision fp16"
        )


def require_on_gpu(device: torch.device, needed: int, what: str) -> None:
    """Refuse to load what will not fit into a GPU's memory.

    Raises
    ------
    EngineError
        Less of the device's memory is free.
    """
    free, _ = torch.cuda.mem_get_info(device)
    if needed > free:
        raise EngineError(
            f"{what} needs at least {needed / 1e9:.1f} GB of {torch.cuda.get_device_name(device)}'s memory and "
            f"{free / 1e9:.1f} GB is free: end what else uses it, or use a larger GPU"
        )


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn running out of a GPU's memory, in whatever it arrives, into an error that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if (reason := out_of_memory(error)) is None:
            raise
        raise EngineError(f"{what} ran out of GPU memory: use fewer rows or a smaller size ({reason})") from error


def out_of_memory(error: BaseException | None) -> str | None:
    """How a GPU's memory ran out, if that is why something failed: compilers and CUDA's own calls wrap the reason."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = " ".join(str(error).split())
        if isinstance(error, torch.cuda.OutOfMemoryError) or "CUDA error: out of memory" in text:
            return text[:200]
        error = getattr(error, "inner_exception", None) or error.__cause__ or error.__context__
    return None
