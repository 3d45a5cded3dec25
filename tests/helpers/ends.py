"""Commands that are ended at any of their calls that change files, by a signal, an error or a short write.

A library for `LD_PRELOAD` (`ends.c`) counts the calls and ends one of them. A process that has imported everything
(`ends_server.py`) runs each command in a fork, so that a point costs no imports.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
OPEN, CREATE, WRITE, NAME, REMOVE, SYNC, SIZE = (1 << bit for bit in range(7))
CHANGES = CREATE | WRITE | NAME | REMOVE | SYNC | SIZE
_SIGNAL, _ERROR, _SHORT = 1, 2, 3


@dataclass(frozen=True)
class End:
    """How a call ends.

    Attributes
    ----------
    kinds
        The kinds of calls that it may happen to.
    onwards
        All later calls of these kinds fail too.
    """

    how: int
    number: int
    kinds: int = CHANGES
    onwards: bool = False


#: How a command may end.
ENDS = {
    "SIGKILL": End(_SIGNAL, signal.SIGKILL),
    "SIGTERM": End(_SIGNAL, signal.SIGTERM),
    "SIGINT": End(_SIGNAL, signal.SIGINT),
    "EIO": End(_ERROR, errno.EIO),
    "ENOSPC": End(_ERROR, errno.ENOSPC, CREATE | WRITE | NAME | SYNC | SIZE, onwards=True),
    "EMFILE": End(_ERROR, errno.EMFILE, OPEN | CREATE),
    "short": End(_SHORT, 0, WRITE),
}


@dataclass(frozen=True)
class Ended:
    """What became of a command.

    Attributes
    ----------
    status
        Exit status, or minus the signal that ended it; None: it hung.
    calls
        How many calls were counted.
    reached
        Whether the call was there that was to end it.
    said
        Its standard output and error.
    """

    status: int | None
    calls: int
    reached: bool
    said: str


class Warm:
    """The process with everything imported."""

    def __init__(self, place: Path) -> None:
        self.place, self.library = place, place / "ends.so"
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None or not sys.platform.startswith("linux"):
            pytest.skip("no C compiler, or not Linux: calls cannot be ended")
        flags = ["-shared", "-fPIC", "-O1", "-o", str(self.library)]
        subprocess.run([compiler, *flags, str(HERE / "ends.c"), "-ldl"], check=True)
        env = os.environ | {"LD_PRELOAD": str(self.library), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
        command = [sys.executable, str(HERE / "ends_server.py")]
        env["PYTHONPATH"] = os.pathsep.join(map(str, (HERE.parents[1], HERE)))
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, words: Sequence[str], folder: Path, end: str = "SIGKILL", call: int = 0, limit: float = 120) -> Ended:
        """Run a command, and end it at its k-th call that changes the folder; 0: undisturbed.

        Parameters
        ----------
        words
            A command line, such as `shards purge ...`; or `module:function` and paths.
        """
        how = ENDS[end]
        said = self.place / "said"
        job = {
            "words": list(words),
            "work": str(self.place),
            "folder": str(folder),
            "library": str(self.library),
            "said": str(said),
            "modules": str(self.place / "modules"),
            "limit": limit,
            "call": call,
            **{"kinds": how.kinds, "how": how.how, "number": how.number, "onwards": how.onwards},
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(job), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        return Ended(**answer, said=said.read_text(errors="replace"))

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too, by their names in it; a folder ends in a slash and has no bytes."""
    found = sorted(folder.rglob("*"))
    return {
        path.relative_to(folder).as_posix() + "/" * path.is_dir(): b"" if path.is_dir() else path.read_bytes()
        for path in found
    }


def is_temporary(name: str) -> bool:
    """Whether any part of a path is hidden: that is how unfinished files are called."""
    return any(part.startswith(".") for part in name.split("/"))


class Trial:
    """A command that works in a folder, and is ended there in all ways.

    Parameters
    ----------
    command
        The command line; `{}` stands for the folder.
    before
        What the folder holds before it: every run begins with a copy.
    blank
        Takes out of a file, by name and bytes, what differs from run to run, such as a time.
    between
        Name patterns of files that may have contents of their own after an end. Every other file is as it was before
        the command, or as it is after an undisturbed one.
    valid
        Called with the folder after an end: what else must hold there then.
    statuses
        Exit statuses of an undisturbed run.
    """

    def __init__(
        self,
        warm: Warm,
        command: str,
        before: Path,
        *,
        blank: Callable[[str, bytes], bytes] = lambda name, content: content,
        between: Sequence[str] = (),
        valid: Callable[[Path], None] = lambda folder: None,
        statuses: Sequence[int] = (0,),
    ) -> None:
        self.warm, self.command, self.before, self.blank = warm, command, before, blank
        self.between, self.valid, self.statuses = between, valid, statuses
        self.folder = warm.place / "run"
        self.words = [word.replace("{}", str(self.folder)) for word in command.split()]
        self.calls: dict[int, int] = {}
        self._prepare()
        self.old = self._contents()
        self._undisturbed("SIGKILL")  # the process learns what it imports
        self.new = self._contents()
        assert self.new != self.old, "the command changed nothing"
        self.count("EIO")

    def check(self, end: str, most: int | None = None) -> int:
        """End the command at each of its calls, or at so many of them; the number of points.

        Each leaves the folder before or after; the same command, run again, ends with the bytes of an undisturbed run.
        """
        count = self.count(end)
        calls = list(range(1, count + 1))
        if most is not None and most < count:
            calls = sorted(random.Random(f"{self.command} {end}").sample(calls, most))
        return sum(self._check_at(end, call) for call in calls)

    def count(self, end: str) -> int:
        """How many calls of an undisturbed run the end can happen to."""
        kinds = ENDS[end].kinds
        if kinds not in self.calls:
            self._prepare()
            self.calls[kinds] = self._undisturbed(end)
            self._compare("an undisturbed run", self.new)
        return self.calls[kinds]

    def _check_at(self, end: str, call: int) -> bool:
        self._prepare()
        done = self.warm.run(self.words, self.folder, end, call)
        if not done.reached:
            return False
        where = f"{self.command}: {end} at call {call} of {self.calls[ENDS[end].kinds]}: status {done.status}"
        assert done.status is not None, f"{where}: it hangs\n{done.said}"
        assert "Traceback" not in done.said, f"{where}\n{done.said}"
        if done.status in self.statuses:
            self._compare(f"{where}, though it did not fail", self.new)
        try:
            self._check_each_file()
            self.valid(self.folder)
        except Exception as error:
            raise AssertionError(f"{where}, then: {error}\n{done.said}") from error
        again = self.warm.run(self.words, self.folder)
        assert again.status in self.statuses, f"{where}; run again: status {again.status}\n{done.said}\n{again.said}"
        self._compare(f"{where}; run again", self.new)
        return True

    def _prepare(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.before, self.folder)

    def _undisturbed(self, end: str) -> int:
        done = self.warm.run(self.words, self.folder, end)
        assert done.status in self.statuses, f"{self.command}: status {done.status}\n{done.said}"
        return done.calls

    def _contents(self) -> dict[str, bytes]:
        return {name: self.blank(name, content) for name, content in contents(self.folder).items()}

    def _compare(self, what: str, expected: dict[str, bytes]) -> None:
        found = self._contents()
        other = [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
        assert not other, f"{what}: other than undisturbed: {', '.join(other)}"

    def _check_each_file(self) -> None:
        free = {name for name in self._contents() if any(fnmatch(name, pattern) for pattern in self.between)}
        found = {name: c for name, c in self._contents().items() if not is_temporary(name) and name not in free}
        torn = [name for name, content in found.items() if content not in (self.old.get(name), self.new.get(name))]
        assert not torn, f"neither before nor after: {', '.join(torn)}"


@contextmanager
def warmed(place: Path) -> Iterator[Warm]:
    """The process, as long as it is needed."""
    warm = Warm(place)
    try:
        yield warm
    finally:
        warm.close()
