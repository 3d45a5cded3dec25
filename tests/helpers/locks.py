"""What the locks pin."""

from __future__ import annotations

from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


def stanzas(lock: str) -> dict[str, list[str]]:
    """Each requirement of a lock with its digests."""
    lines = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    split = [line.split(" --hash") for line in lines if not line.startswith("#")]
    return {first.strip(): [f"--hash{one.strip()}" for one in rest] for first, *rest in split}


def locked(lock: str) -> dict[str, str]:
    """Version of each package of a lock that a Linux machine installs."""
    found = [Requirement(line) for line in stanzas(lock)]
    return {one.name: str(one.specifier).removeprefix("==") for one in found if _wanted_here(one)}


def _wanted_here(one: Requirement) -> bool:
    return one.marker is None or one.marker.evaluate({"sys_platform": "linux"})
