"""What a build will need, said before it starts."""

from __future__ import annotations

from pathlib import Path

from engines.errors import EngineError

# Peak resident bytes per byte of float32 weights, over the libraries' own. Measured: export and run of the built-in
# pipeline and of SD 1.5 (fp16: 4.2 GB for 3.4 GB of float32 weights).
EXPORT_FACTOR = {"fp32": 2.5, "fp16": 1.3, "bf16": 1.3}
LIBRARIES = 1_000_000_000


def build_bytes(model: Path, precision: str) -> int:
    """Bytes of memory that a build of a pipeline folder is expected to reach."""
    largest = max(
        sum(p.stat().st_size for p in (model / part).glob("*.safetensors")) for part in ("unet", "vae", "text_encoder")
    )
    return LIBRARIES + int(largest * EXPORT_FACTOR[precision])


def available_bytes() -> int | None:
    """Memory that this process may still take: the machine's, or its control group's where that is less."""
    found = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and limit.read_text().strip() != "max":
        found.append(int(limit.read_text()) - int(used.read_text()))
    return min(found) if found else None


def require(needed: int, what: str) -> None:
    """Refuse a job that will not fit.

    Raises
    ------
    EngineError
        Less memory is free than the job is expected to need.
    """
    free = available_bytes()
    if free is not None and needed > free:
        raise EngineError(
            f"{what} needs about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB is free: "
            "use a larger machine, or --precision fp16"
        )
