"""What a library raises while it decodes a file: damage of the file, whatever the kind of error."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from dermforge.common.errors import CheckFailed, UserError, first_line


@contextmanager
def decoding(fault: str, remedy: str = "") -> Iterator[None]:
    """Take every error for the file's.

    Decoders are written for whole files. A changed byte leads them to lengths, types and names that they do not expect,
    and so to nearly any kind of error, `NotImplementedError` and `zlib.error` among them: no list of kinds is complete.
    The scope is narrow instead. Only what turns the bytes of a file that is there into values belongs in it, so that a
    mistake of ours is never taken for one of the file.

    Errors of the system pass, such as too many open files or no permission: the file may be whole.

    Parameters
    ----------
    fault
        What is wrong then, such as "cannot read the table x.csv"; what the library says is put behind it.
    remedy
        What to do.

    Raises
    ------
    UserError
        The file is damaged, or of another kind.
    """
    try:
        yield
    except (UserError, CheckFailed):  # said better by whoever knows more of the file
        raise
    except Exception as error:
        # a wrong offset is an invalid argument to the system
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise UserError(f"{fault}: {first_line(error)}" + (f"; {remedy}" if remedy else "")) from error
