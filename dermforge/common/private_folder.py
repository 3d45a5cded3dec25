"""A folder of temporary files that only its owner can put anything into."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dermforge.common.errors import UserError


def private_folder(path: Path, remedy: str) -> Path:
    """Create a folder for this user alone, or use the one that is there; `remedy` ends the message of a refusal.

    A name in a shared place, such as the system's temporary folder, can be guessed: somebody else may have made it,
    with files in it, or as a link to another folder, whose files a clean-up would then delete.

    Raises
    ------
    UserError
        There is a link or a file, a folder of somebody else, or one into which others may write.
    """
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        there = path.lstat()
        if not stat.S_ISDIR(there.st_mode):
            found = "a link" if stat.S_ISLNK(there.st_mode) else "a file"
        elif there.st_uid != os.geteuid():
            found = f"a folder of another user (number {there.st_uid})"
        elif there.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            found = "a folder that others may write to"
        else:
            return path
        raise UserError(f"{path} is {found}; expected a private folder: {remedy}") from None
    return path
