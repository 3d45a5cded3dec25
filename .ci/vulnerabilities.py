"""Ask pip-audit for known vulnerabilities of what locks pin. Status 1: there are some; 3: it could not be asked.

python -P .ci/vulnerabilities.py requirements-dev.lock requirements-gpu.lock

pip-audit ends with 0 when the database answers for no package at all, as behind a mirror that has packages only. Here a
package that was not looked up is never a good one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

FOUND, NOT_ASKED = 1, 3
#: Findings that do not concern us, by their number, and why. Nobody repairs them by ignoring them.
IGNORED: dict[str, str] = {}


def audit(lock: str) -> tuple[list[dict[str, Any]], str]:
    """pip-audit's answer for each package of a lock, and why there is none."""
    command = ["pip_audit", "--requirement", lock, "--require-hashes", "--disable-pip", "--format", "json"]
    command += ["--progress-spinner", "off", *(word for one in IGNORED for word in ("--ignore-vuln", one))]
    done = subprocess.run([sys.executable, "-P", "-m", *command], capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except ValueError:
        return [], (done.stderr.strip() or "pip-audit said nothing").splitlines()[-1]


def report(lock: str, packages: Sequence[dict[str, Any]], trouble: str) -> int:
    """Print what was found and what was not looked up; the status."""
    bad = [(one, flaw) for one in packages for flaw in one.get("vulns", ())]
    unknown = [one for one in packages if "vulns" not in one]
    for one, flaw in bad:
        repaired = ", ".join(flaw["fix_versions"]) or "no version yet"
        print(f"{lock}: {one['name']} {one['version']}: {flaw['id']}, repaired by {repaired}")
    looked_up = len(packages) - len(unknown)
    print(f"{lock}: {looked_up} of {len(packages)} packages were looked up, {len(bad)} known vulnerabilities")
    if unknown:
        trouble = f"{unknown[0]['skip_reason']}" + (f", and {len(unknown) - 1} more" if unknown[1:] else "")
    if trouble or not packages:
        print(f"{lock}: NOT AUDITED: {trouble or 'it pins nothing'}", file=sys.stderr)
    if bad:
        return FOUND
    return NOT_ASKED if trouble or not packages else 0


def main(locks: Sequence[str]) -> int:
    for number, why in IGNORED.items():
        print(f"ignored: {number}: {why}")
    statuses = {report(lock, *audit(lock)) for lock in locks}
    return FOUND if FOUND in statuses else max(statuses, default=NOT_ASKED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
