"""The errors that a user can cause. A command prints them as one line."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT)


class UserError(ValueError):
    """Something that the user gave is wrong: what was got, what was expected, what to do (exit status 2)."""


class MemoryShort(UserError):
    """A file asks for more memory than there is: it is damaged, or whole and too large for this machine."""


class DataWarning(UserWarning):
    """Something in the data that the user should know; a command prints it as one line and goes on."""


class CheckFailed(ValueError):
    """A check ran and failed, such as a digest or a threshold (exit status 1)."""


class Stopped(Exception):
    """Somebody stopped a command that does not resume: says where its work so far is (exit status 130)."""


def first_fault(error: ValidationError) -> str:
    """The first fault that pydantic found, and where: not its heading, and not the links that it adds."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the file"
    return f"{where}: {first['msg']}"


def what_it_says(error: BaseException) -> str:
    """What an exception of a library says; of pydantic's, the first fault."""
    from pydantic import ValidationError

    return first_fault(error) if isinstance(error, ValidationError) else str(error)


def first_line(error: BaseException) -> str:
    """The first line of what a library says, for a message of one line; its class where it says nothing."""
    return next(iter(what_it_says(error).strip().splitlines()), "") or type(error).__name__


def is_of_the_machine(error: Exception) -> bool:
    """Whether the machine is at its limit, such as a full disk: no file is at fault, and the next one fails too."""
    return isinstance(error, OSError) and error.errno in _LIMITS


def system_error(error: Exception) -> OSError | None:
    """The error of the system, such as a full disk, that a library tells in its own kind of exception; else None.

    safetensors writes "No space left on device (os error 28)", and torch "Too many open files (24)".
    """
    if isinstance(error, OSError):
        return error
    found = re.search(r"\((?:os error )?(\d{1,3})\)\s*$", str(error))
    if found is None or os.strerror(int(found[1])) not in str(error):
        return None
    return OSError(int(found[1]), os.strerror(int(found[1])))
