"""A process for steps: asked with a time limit, and killed with everything that it started; the folder it works in."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.suites.gpu.results import Job
from bench.suites.gpu.worker import Reply, Request

POLL_S = 0.1
#: A killed process that does not end within it is left alone: a driver may hold it.
END_S = 10.0
LOGS = "logs.txt"
MOST_OF_A_LOG = 200_000


class WorkerProcess:
    """A worker's process, the leader of a group with all that it starts.

    It ends with us when its stdin does: the system would end it with the thread that starts it, which lives shorter.
    """

    def __init__(self, name: str, job: Job) -> None:
        command = [sys.executable, "-P", "-m", "bench.suites.gpu.worker", job.model_dump_json()]
        with (job.scratch / f"{name}.log").open("ab") as log:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=environment(job),
            )

    def ask(self, request: Request, seconds: float) -> Reply:
        """Have a step done: the worker's reply, or that the step was stopped at its limit or the process died."""
        assert self.popen.stdin is not None
        with suppress(BrokenPipeError):
            self.popen.stdin.write(request.model_dump_json().encode() + b"\n")
            self.popen.stdin.flush()
        content = self._line(time.monotonic() + seconds)
        if content.endswith(b"\n"):
            return Reply.model_validate_json(content)
        code = self.popen.poll()
        if code is None:
            return Reply(status="stopped", why=f"at its limit of {seconds:.0f} s", usable=False)
        why = f"of {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
        return Reply(status="died", why=why, usable=False)

    def _line(self, end: float) -> bytes:
        """What the process writes until a line is whole, it ended or the time is over.

        The end of the pipe tells nothing: children of a dead process may keep it open.
        """
        assert self.popen.stdout is not None
        pipe, content = self.popen.stdout.fileno(), b""
        while time.monotonic() < end and not content.endswith(b"\n"):
            dead = self.popen.poll() is not None
            if select.select([pipe], [], [], POLL_S)[0]:
                part = os.read(pipe, 65536)
                content += part
                if not part:
                    time.sleep(POLL_S)
            if dead:
                break
        return content

    def kill(self) -> None:
        """End the process and its group."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(END_S)
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def environment(job: Job) -> dict[str, str]:
    """The variables of a step's process: no network, and compiled code in a folder of this run, so starts are cold."""
    more = {
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(job.scratch / "inductor"),
        "TRITON_CACHE_DIR": str(job.scratch / "triton"),
    }
    if job.rehearsal:
        more["CUDA_VISIBLE_DEVICES"] = ""
    return {**os.environ, **more}


#: Waits for the end of its stdin and removes the folder, again if a process that is being killed still wrote into it.
REMOVE = 'trap "" INT TERM; cat > /dev/null; for _ in 1 2 3; do rm -rf -- "$0" 2> /dev/null && break; sleep 1; done'


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder for gigabytes of compiled code, removed by a process that outlives us if we are killed."""
    folder = Path(tempfile.mkdtemp(prefix="dermforge-gpu-"))
    with subprocess.Popen(["/bin/sh", "-c", REMOVE, folder], stdin=subprocess.PIPE, start_new_session=True):
        yield folder  # then `Popen` closes the pipe and waits


def join_logs(job: Job) -> None:
    """Write what all steps printed into one file; the middle of a long log is left out."""
    half = MOST_OF_A_LOG // 2
    with (job.out / LOGS).open("w", encoding="utf-8") as file:
        for log in sorted(job.scratch.glob("*.log")):
            text = log.read_text(encoding="utf-8", errors="replace")
            cut = text if len(text) <= 2 * half else f"{text[:half]}\n[... left out ...]\n{text[-half:]}"
            file.write(f"\n===== {log.stem}\n{cut}")
