"""The audit of vulnerabilities: a package that nobody looked up is not a good one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ci_helpers import CI, script

GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.fixture(scope="module")
def vulnerabilities() -> ModuleType:
    """The script as a module."""
    return script("vulnerabilities")


@pytest.mark.parametrize(
    ("packages", "trouble", "status"),
    [
        ([GOOD], "", 0),
        ([GOOD, BAD], "", 1),
        ([GOOD, UNKNOWN], "", 3),
        ([BAD, UNKNOWN], "", 1),
        ([], "no address", 3),
        ([], "", 3),
    ],
)
def test_the_status_says_what_is_known(
    vulnerabilities: ModuleType,
    capsys: pytest.CaptureFixture[str],
    packages: list[dict[str, Any]],
    trouble: str,
    status: int,
) -> None:
    """0 only if each package was looked up and none has a known flaw."""
    assert vulnerabilities.report("a.lock", packages, trouble) == status
    said = capsys.readouterr()
    assert ("PYSEC-1, repaired by 2" in said.out) == (BAD in packages)
    assert ("NOT AUDITED" in said.err) == (UNKNOWN in packages or not packages)


def test_a_tool_that_does_not_run_is_no_pass(tmp_path: Path) -> None:
    """Here pip-audit is not installed; it lives in an environment of its own."""
    lock = tmp_path / "a.lock"
    lock.write_text("six==1.17.0\n")
    script = CI / "vulnerabilities.py"
    command = [sys.executable, "-P", "-S", str(script), str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "NOT AUDITED" in done.stderr
