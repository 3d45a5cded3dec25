"""Opening files that other people made: only regular files, and none larger than what it is for.

A pipe would wait for ever, a device gives bytes without end, a sparse file of some kilobytes claims gigabytes, and a
link may lead to a file that its folder does not hold.
"""

from __future__ import annotations

import os
import stat
from io import BufferedReader, FileIO
from pathlib import Path

from dermforge.common.errors import UserError

#: The most bytes of a record: a JSON or CSV file that is read whole.
RECORD = 1 << 30
#: The most bytes of a network's weights, which are read whole too.
WEIGHTS_SIZE = 64 << 30


def open_regular(path: Path) -> FileIO:
    """Open a file for reading, unbuffered.

    Raises
    ------
    UserError
        It is a pipe, a device or a folder, or a link to one.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe does not wait for its other end
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return os.fdopen(fd, "rb", buffering=0)
    os.close(fd)
    raise UserError(f"{path} is no regular file (a pipe, a device, a folder or a link to one); take it away")


def read_regular(path: Path, most: int = RECORD) -> bytes:
    """The content of a file.

    Raises
    ------
    UserError
        As `open_regular`, or the file has more than `most` bytes.
    """
    with BufferedReader(open_regular(path)) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= most:
            return file.read(size)  # of `most` bytes a buffer would be made
    raise UserError(f"{path} has {size} bytes; at most {most} are read")


def leaves(path: Path, *folders: Path) -> bool:
    """Whether a path, its links followed, lies in none of these folders."""
    real = os.path.realpath(path)
    return not any(real.startswith(os.path.realpath(folder).rstrip("/") + "/") for folder in folders)
