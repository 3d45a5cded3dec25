"""Read the licence of every package of a lock from what is installed; status 1 names those that are not accepted.

python -P .ci/licences.py requirements.lock
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from license_expression import AND, OR, ExpressionError, get_spdx_licensing
from packaging.requirements import Requirement

NVIDIA = "LicenseRef-NVIDIA-Proprietary"
#: None of them asks for more than a notice, but MPL-2.0 (changed files stay under it) and NVIDIA's (its own terms on
#: who may pass its libraries on: read them before you publish an image).
ACCEPTED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "ISC",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Zlib",
    NVIDIA,
}
#: How metadata say it that are older than SPDX's names.
SPOKEN = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "NVIDIA Proprietary Software": NVIDIA,
    "Python Software Foundation License": "PSF-2.0",
}
#: Packages whose metadata say nothing; somebody has read their terms.
READ = {"cuda-toolkit": [NVIDIA]}  # it has no files, only requirements
SPDX = get_spdx_licensing()


def packages(lock: Path) -> Iterator[str]:
    """Names of the packages that this machine installs from a lock."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix("\\"))
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement.name


def statements(package: Distribution) -> list[str]:
    """What a package says of its licence: an SPDX expression, else classifiers, else a line of text; else nothing."""
    said = package.metadata.json
    if "license_expression" in said:
        return [str(said["license_expression"])]
    kinds = [line.split(" :: ")[1:] for line in said.get("classifier", []) if line.startswith("License")]
    if kinds := [kind for kind in kinds if kind != ["OSI Approved"]]:
        return [kind[-1] for kind in kinds]
    text = str(said.get("license", "")).strip()
    return [text] if text and "\n" not in text else []


def as_spdx(name: str, statement: str) -> str:
    """The statement in SPDX's words, where they are known."""
    if statement == "Other/Proprietary License" and name.startswith(("nvidia-", "tensorrt-")):
        return NVIDIA
    return SPOKEN.get(statement, statement)


def is_accepted(expression: str) -> bool:
    """All parts of an `AND` are accepted, or any of an `OR`."""
    try:
        return _holds(SPDX.parse(expression))
    except ExpressionError:
        return False


def _holds(node: object) -> bool:
    if isinstance(node, AND):
        return all(_holds(part) for part in node.args)
    if isinstance(node, OR):
        return any(_holds(part) for part in node.args)
    return str(node) in ACCEPTED


def main(lock: Path) -> int:
    found: Counter[str] = Counter()
    refused = []
    for name in packages(lock):
        try:
            licences = [as_spdx(name, one) for one in statements(distribution(name)) or READ.get(name, [])]
        except PackageNotFoundError:
            refused.append(f"{name}: not installed, so its licence cannot be read (make install)")
            continue
        found.update(licences)
        if not licences or not all(map(is_accepted, licences)):
            refused.append(f"{name}: {'; '.join(licences) or 'says nothing'}")
    print(f"{lock}: " + ", ".join(f"{licence} {count}" for licence, count in found.most_common()))
    for line in refused:
        print(f"not accepted: {line}", file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
