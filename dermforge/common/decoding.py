"""What a library raises while it decodes a file: damage of the file, whatever the kind of error."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from dermforge.common.errors import CheckFailed, MemoryShort, UserError, first_line

MORE_MEMORY = "it asks for more memory than there is, so it is damaged, or too large for this machine"


@contextmanager
def decoding(fault: str, remedy: str = "") -> Iterator[None]:
    """Take every error for the file's.

    Decoders are written for whole files. A changed byte leads them to lengths, types and names that they do not expect,
    and so to nearly any kind of error, `NotImplementedError` and `zlib.error` among them: no list of kinds is complete.
    The scope is narrow instead. Only what turns the bytes of a file that is there into values belongs in it, so that a
    mistake of ours is never taken for one of the file.

    Errors of the system pass, such as too many open files or no permission, and so does a package that is missing: the
    file may be whole. It may be whole too where memory is short, but a changed byte leads there more often, by a length
    that no file has. The message says what was short, so that both can be mended; whoever drops what is damaged passes
    `MemoryShort` on instead.

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
    MemoryShort
        It asks for more memory than there is.
    """
    try:
        yield
    except (UserError, CheckFailed, ImportError):  # the first two are said better by whoever knows more of the file
        raise
    except Exception as error:
        # a wrong offset is an invalid argument to the system
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        short = isinstance(error, MemoryError)
        kind, reason = (MemoryShort, MORE_MEMORY) if short else (UserError, first_line(error))
        raise kind(f"{fault}: {reason}" + (f"; {remedy}" if remedy else "")) from error
