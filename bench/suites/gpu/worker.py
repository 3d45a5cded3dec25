"""A process that does steps for the runner: one request a line on stdin, one reply a line on stdout.

It keeps what its preparation made, such as compiled networks, for the steps after it. What steps print goes to the log.
"""

from __future__ import annotations

import gc
import os
import queue
import signal
import sys
import time
import traceback
from importlib import import_module
from threading import Thread
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.suites.gpu.results import Job, Report, Skipped, Status

#: What a rehearsal does to a step on purpose.
Fault = Literal["fails", "hangs", "dies"]
FAULTS: dict[str, Fault] = {"fails": "fails", "hangs": "hangs", "dies": "dies"}
PACKAGES = ("bench", "dermforge", "engines", "evalsuite", "gen", "shards")
MOST_LETTERS = 600


class Request(BaseModel):
    """A step to do.

    Attributes
    ----------
    worker
        Whose step it is: what one worker prepared is not for another's steps.
    call
        "module:function", called with the job, a `Report` and, after a preparation, what that returned.
    prepares
        Whether the function's result is kept for the steps after it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    worker: str
    step: str
    call: str
    prepares: bool = False
    again: bool = False
    beside: bool = False
    fault: Fault | None = None


class Reply(BaseModel):
    """How the step ended. usable: whether the process can do more steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status
    why: str | None = None
    usable: bool = True


def main() -> None:
    """Do what stdin asks for until it ends."""
    job = Job.model_validate_json(sys.argv[1])
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    prepared: dict[str, Any] = {}
    with os.fdopen(os.dup(1), "w", buffering=1) as replies:
        Thread(target=_listen, args=(os.dup(0), requests), daemon=True).start()
        with open(os.devnull) as nothing:  # what steps start must neither read requests nor write replies
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        while True:
            replies.write(_do(requests.get(), job, prepared).model_dump_json() + "\n")


def _listen(pipe: int, requests: queue.SimpleQueue[Request]) -> None:
    """Pass requests on. When the runner is gone, everything that this process started ends with it.

    Not through `sys.stdin`: its lock, held while it waits, would be copied into every process that a step forks.
    """
    content = b""
    while part := os.read(pipe, 65536):
        *lines, content = (content + part).split(b"\n")
        for line in lines:
            requests.put(Request.model_validate_json(line))
    os.killpg(0, signal.SIGKILL)


def _do(request: Request, job: Job, prepared: dict[str, Any]) -> Reply:
    print(f"== {request.step}", file=sys.stderr, flush=True)
    for other in set(prepared) - {request.worker}:
        del prepared[other]
    try:
        _injure(request.fault)
        module, _, name = request.call.partition(":")
        call = getattr(import_module(module), name)
        report = Report(job, request.step, again=request.again, beside=request.beside)
        if request.prepares:
            prepared[request.worker] = call(job, report)
        else:
            call(job, report, *prepared.values())
        return Reply(status="done")
    except Skipped as error:
        return Reply(status="skipped", why=str(error))
    except Exception as error:  # noqa: BLE001 - whatever a step raises is what is known of it
        traceback.print_exc()
        said = _one_line(error)
        missing = isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] not in PACKAGES
    return Reply(status="skipped" if missing else "failed", why=said, usable=_device_works())


def _one_line(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:MOST_LETTERS]
    return f"{type(error).__name__}: {text} ({os.path.basename(where.filename)}:{where.lineno})"


def _device_works() -> bool:
    """Free what a failed step held; False after an error that a CUDA process does not recover from."""
    torch = sys.modules.get("torch")
    gc.collect()
    if torch is None or not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:
        return False
    return True


def _injure(fault: Fault | None) -> None:
    if fault == "fails":
        raise RuntimeError("made to fail on purpose")
    if fault == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    while fault == "hangs":
        time.sleep(1)


if __name__ == "__main__":
    main()
