"""ONNX Runtime comes as two packages that write into one folder, for CPUs and for CUDA too: only one may be installed.

So no extra of dermforge installs the second: an extra can add a package and take none away.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

NAMES = ("onnxruntime", "onnxruntime-gpu")
FOR_CPUS, FOR_CUDA = (
    f"pip uninstall -y {' '.join(NAMES)} && pip install {shown}" for shown in ("onnxruntime", "'onnxruntime-gpu>=1.27'")
)


def installed() -> dict[str, str]:
    """The versions of those that are installed, by name."""
    found = {}
    for name in NAMES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def conflict() -> str | None:
    """What is wrong where both are installed, and what to do; None where it is one."""
    found = installed()
    if len(found) < 2:
        return None
    both = " and ".join(f"{name} {number}" for name, number in found.items())
    return f"{both} are in one folder, where each overwrote files of the other: {FOR_CUDA} (for CPUs: {FOR_CPUS})"
