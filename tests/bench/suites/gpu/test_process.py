"""The folder that a GPU run works in: gone with the run, however it ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = """
import os, signal
from bench.suites.gpu.process import scratch_folder
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
with scratch_folder() as folder:
    (folder / "inductor").mkdir()
    (folder / "inductor" / "kernel").write_bytes(b"code")
    print(folder, flush=True)
    {end}
"""


@pytest.mark.parametrize(
    "end", ["pass", "raise RuntimeError", "os.kill(0, signal.SIGINT)", "os.kill(0, signal.SIGKILL)"]
)
def test_compiled_code_goes_with_the_run(end: str) -> None:
    """Also where the whole group of the run is killed, which no `finally` sees."""
    command = [sys.executable, "-c", RUN.format(end=end)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, start_new_session=True)
    assert (done.returncode == 0) == (end == "pass")
    folder = Path(done.stdout.strip())
    assert folder.name.startswith("dermforge-gpu-")
    last = time.monotonic() + 20
    while folder.exists() and time.monotonic() < last:
        time.sleep(0.05)
    assert not folder.exists()
