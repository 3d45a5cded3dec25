"""Step: the tests that need a GPU. Each result is written as it comes: a test that hangs does not take the others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import deque
from importlib.util import find_spec
from pathlib import Path

from bench.measure.record import higher
from bench.suites.gpu.results import Job, Report, Skipped
from dermforge.common import processes
from dermforge.common.errors import CheckFailed

#: The checkout, of which an installed package has no tests.
ROOT = Path(__file__).parents[3]
SECONDS_A_TEST = 140
PROCESSES = "4"
LAST_LINES = 12
GPU = "gpu"  # the marker
WORDS = "PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS"
#: A line of `pytest -v` for one result. It ends with the progress, or begins with it where processes share the tests.
#: The summary at the end names failed tests again, without it.
RESULT = re.compile(rf"^(?:\[gw\d+\] \[ *\d+%\] (?P<first>{WORDS}) .+::|.+?::.+? (?P<last>{WORDS}) .*\[ *\d+%\]$)")
SUMMARY = re.compile(r"^(FAILED|ERROR) .+::")
#: A rehearsal has no CUDA: it runs the plain tests of this file, which load little, without further processes.
REHEARSED = "tests/bench/measure/test_cost.py"


def cuda_tests(job: Job, report: Report) -> None:
    """`pytest -m gpu`, engines compiled in the default mode."""
    files = [REHEARSED] if job.rehearsal else files_with_gpu_tests(ROOT)
    if not all((ROOT / name).is_file() for name in files) or not files:
        raise Skipped("no tests here: this is not a checkout")
    last: deque[str] = deque(maxlen=LAST_LINES)
    counts = dict.fromkeys(("PASSED", "FAILED", "ERROR", "SKIPPED"), 0)
    with processes.program(
        command(files, f"not {GPU}" if job.rehearsal else GPU),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last.append(line.rstrip())
            if result := result_in(line):
                counts[result] = counts.get(result, 0) + 1
            if result in ("FAILED", "ERROR"):
                report.note(test=line.strip()[:200])
            elif SUMMARY.match(line):
                report.note(why=line.strip()[:200])
    details = {name.lower(): n for name, n in counts.items() if name != "PASSED"}
    report.measured(higher("CUDA tests/passed", "tests", [counts["PASSED"]], dict(details)))
    if process.returncode:
        report.note(last_lines=list(last))
        raise CheckFailed(f"pytest ended with exit status {process.returncode}: {counts}")


def result_in(line: str) -> str | None:
    """The result of a test that a line of `pytest -v` tells, such as PASSED; None for any other line."""
    found = RESULT.match(line.strip())
    return (found["first"] or found["last"]) if found else None


def files_with_gpu_tests(root: Path) -> list[str]:
    """The test files that have such tests; only these are imported, so a package that others need may be missing."""
    found = sorted((root / "tests").rglob("test_*.py")) if (root / "tests").is_dir() else []
    return [p.relative_to(root).as_posix() for p in found if "pytest.mark.gpu" in p.read_text(encoding="utf-8")]


def command(files: list[str], marker: str) -> list[str]:
    """The command line, with the plugins that are installed."""
    words = [sys.executable, "-P", "-m", "pytest", *files, "-m", marker, "-o", "addopts=--import-mode=importlib"]
    words += ["-p", "no:cacheprovider", "-v", "--tb=short"]
    if find_spec("xdist") and marker == GPU:
        words += ["-n", PROCESSES]
    if find_spec("pytest_timeout"):
        words += ["--timeout", str(SECONDS_A_TEST)]
    return words
