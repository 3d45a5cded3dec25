"""The counts of the CUDA tests: each result once, whatever else pytest prints of it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.suites.gpu.cuda_tests import result_in

TESTS = """
import pytest
@pytest.fixture
def broken():
    raise RuntimeError("x::y FAILED [ 5%] is no result")
@pytest.mark.parametrize("word", ["one", "two words", "FAILED"])
def test_pass(word): print("tests/other.py::test PASSED")
def test_fail():
    print("tests/other.py::test PASSED")
    assert 1 == 2
def test_error(broken): ...
@pytest.mark.skip(reason="needs CUDA or FAILED a::b")
def test_skip(): ...
@pytest.mark.xfail
def test_xfail(): assert False
"""
ONCE = {"PASSED": 3, "FAILED": 1, "ERROR": 1, "SKIPPED": 1, "XFAIL": 1}


@pytest.mark.parametrize("processes", [[], ["-n", "1"]])
def test_each_result_is_counted_once(tmp_path: Path, processes: list[str]) -> None:
    """A failed test is named again in the summary, and in what it printed."""
    (tmp_path / "test_some.py").write_text(TESTS)
    words = ["-v", "--tb=short", "-p", "no:cacheprovider", "-c", "none.ini", "--rootdir", ".", *processes]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", *words, "test_some.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    found = Counter(filter(None, map(result_in, done.stdout.splitlines())))
    assert found == ONCE, done.stdout
