"""A folder of results that takes the place of an older one: whatever ends the process, one of the two is there whole.

The order of steps, and what a later call finds when the process ends after each of them:

1. The new folder is filled under the name `.OUT.partial-...`; a later call goes on with it, or removes it.
2. Every file of it goes to the disk, and then every folder.
3. It is renamed to `.OUT.whole-...`. A folder of this name is whole: it becomes OUT if there is none, or goes.
4. It exchanges names with OUT, in one step on Linux. Elsewhere OUT takes a name `.OUT.whole-...` too, just before.
5. The folder that holds the names goes to the disk.
6. What is called `.OUT.whole-...` now is the old one, and is removed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path

from dermforge.common import finished_parts
from dermforge.common.atomic import is_locked, locked, sync_folder
from dermforge.common.errors import UserError

#: Temporary files of `atomic.Pending` and of safetensors; their writer may have been killed.
TEMPORARY = (".*.tmp", ".tmp*")

_EXCHANGE = 2  # RENAME_EXCHANGE of man 2 rename
_HERE = -100  # AT_FDCWD
#: What says that the system or the file system cannot exchange two names.
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


@contextmanager
def whole_folder(out: Path, job: str | None = None) -> Iterator[Path]:
    """A folder that takes its name only when everything in it is on the disk; what had the name is removed.

    Parameters
    ----------
    job
        A digest of everything that the content depends on, in letters and numbers. What a killed process left of the
        same job is in the folder then, and `finished_parts` says what of it can be used. Without it the folder is
        empty.

    Notes
    -----
    What killed processes left of other jobs at the same place is removed first. An error removes the folder.

    Raises
    ------
    UserError
        OUT is the current folder, or one that holds it: a shell in it would stand in a folder that is gone.
    """
    given, out = out, Path(os.path.realpath(out))  # a link stays, and leads to the new folder
    if Path.cwd().is_relative_to(out):
        raise UserError(
            f"{given} is the folder that you are in, and a whole new one would take its place: give a new folder, "
            f"such as {given / 'out'}"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    name = f"partial-{os.getpid()}" if job is None else f"partial-{os.getpid()}-{job}"
    partial = _beside(out, name)
    try:
        recover(out)
        with ExitStack() as held:
            with locked(out.parent):  # two processes that begin at once do not take over the same folder
                _adopt(out, partial, job)
                held.enter_context(locked(partial))
            yield partial
            _sync_tree(partial)
            _take_place(partial, out)
    finally:
        _discard(partial, out)
        recover(out)
        if (record := finished_parts.record_of(partial)) is not None:
            record.unlink(missing_ok=True)


def recover(out: Path) -> None:
    """Give OUT a whole folder that lost its place to it when a process ended; remove what such a process left over.

    Every command that writes a folder calls it before it looks at what is there.
    """
    out = Path(os.path.realpath(out))
    if not _named(out, "whole"):
        return
    with locked(out.parent):
        left = [path for path in _named(out, "whole") if not is_locked(path)]
        if left and not out.exists():
            left.pop(0).rename(out)
        sync_folder(out.parent)  # nothing is removed before the name of the other is safe
    for path in left:
        shutil.rmtree(path)


def _adopt(out: Path, partial: Path, job: str | None) -> None:
    """Make the partial folder, of what a dead process left of the same job if there is any; remove the rest."""
    left = [path for path in _named(out, "partial") if not is_locked(path)]
    same = [path for path in left if job is not None and path.name.endswith(f"-{job}")]
    for path in left:
        if path not in same[:1]:
            _discard(path, out)
    if not same:
        for record in out.parent.glob(f".{escape(out.name)}.parts-*"):
            record.unlink(missing_ok=True)
        partial.mkdir()
        return
    same[0].rename(partial)
    for pattern in TEMPORARY:
        for path in partial.rglob(pattern):
            path.unlink()


def _take_place(partial: Path, out: Path) -> None:
    """Steps 3 to 5; `recover` does the last one."""
    with locked(out.parent):
        if out.exists():
            new, old = (_beside(out, f"whole-{os.getpid()}{more}") for more in ("", "-old"))
            partial.rename(new)
            if not _exchange(new, out):
                out.rename(old)
                new.rename(out)
        else:
            partial.rename(out)
        sync_folder(out.parent)


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two names in one step; False where that cannot be done."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    if rename(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _EXCHANGE) == 0:
        return True
    if (number := ctypes.get_errno()) in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(a), None, str(b))


def _sync_tree(folder: Path) -> None:
    """Bring every file to the disk, and then every folder from the innermost out; no file is for its owner alone."""
    usual = 0o666 & folder.stat().st_mode  # which this program made: to ask for the umask is to change it for a moment
    for place, _, files in os.walk(folder, topdown=False, onerror=_raise):
        for name in files:
            fd = os.open(Path(place, name), os.O_RDONLY)
            try:
                if stat.S_IMODE(os.fstat(fd).st_mode) == 0o600:  # as safetensors leaves it
                    os.fchmod(fd, usual)
                os.fsync(fd)
            finally:
                os.close(fd)
        sync_folder(Path(place))


def _raise(error: OSError) -> None:
    raise error


def _discard(partial: Path, out: Path) -> None:
    """Remove a partial folder; first it loses its job, which would take half a folder for its own."""
    waste = _beside(out, f"partial-{os.getpid()}")
    with suppress(FileNotFoundError):
        if partial != waste:
            shutil.rmtree(waste, ignore_errors=True)
            partial.rename(waste)
    shutil.rmtree(waste, ignore_errors=True)


def _beside(out: Path, name: str) -> Path:
    return out.with_name(f".{out.name}.{name}")


def _named(out: Path, kind: str) -> list[Path]:
    """The folders of this kind that are beside OUT."""
    ours = re.compile(rf"\.{re.escape(out.name)}\.{kind}-\d+(-\w+)?")
    return sorted(p for p in out.parent.glob(f".{escape(out.name)}.{kind}-*") if ours.fullmatch(p.name))
