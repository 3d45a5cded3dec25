"""A process that has imported everything already and runs commands in forks of itself; see `ends.py`.

It reads a job a line from standard input, and answers each with a line: how the command ended, and at which call.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import mmap
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

SEEN = mmap.mmap(-1, 8)  # the library counts in it, also in a fork that is killed


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        job = json.loads(line)
        SEEN[:] = bytes(8)
        if (pid := os.fork()) == 0:
            leave(in_fork(job))
        status = wait(pid, job["limit"])
        calls, reached = (int.from_bytes(SEEN[i : i + 4], sys.byteorder) for i in (0, 4))
        print(json.dumps({"status": status, "calls": calls, "reached": bool(reached)}), file=answers)
        learn(Path(job["modules"]))


def wait(pid: int, limit: float) -> int | None:
    """Exit status, or minus a signal; None after the limit. Nothing that the fork started lives on."""
    end = time.monotonic() + limit
    found = status = 0
    while not found and time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.001)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if not found:
        os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) if found else None


def learn(modules: Path) -> None:
    """Import what the last command imported, so that the next one does not."""
    for name in modules.read_text().split() if modules.exists() else ():
        if name not in sys.modules:
            with suppress(Exception):
                import_module(name)
    modules.unlink(missing_ok=True)


def leave(status: int) -> NoReturn:
    """End as Python does, but for taking all modules apart, which takes longer than most commands."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def in_fork(job: dict[str, Any]) -> int:
    """Run the command of a job, as a process of its own would; its exit status."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    said = os.open(job["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    for fd in (1, 2):
        os.dup2(said, fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(job["work"])
    place = ctypes.addressof(ctypes.c_char.from_buffer(SEEN))
    numbers = [ctypes.c_int(job[key]) for key in ("kinds", "call", "how", "number", "onwards")]
    ctypes.CDLL(job["library"]).arm(os.fsencode(job["folder"]), *numbers, ctypes.c_void_p(place))
    first, *words = job["words"]
    try:
        if ":" in first:
            module, _, function = first.partition(":")
            getattr(import_module(module), function)(*map(Path, words))
        else:
            sys.argv = [first, *words]
            import_module(f"{first}.cli").main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself does at the end
        traceback.print_exc()
        return 1
    finally:
        Path(job["modules"]).write_text("\n".join(list(sys.modules)))
    return 0


if __name__ == "__main__":
    main()
