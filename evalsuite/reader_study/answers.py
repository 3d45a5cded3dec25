"""The answers of readers: a CSV for each, in which a row counts once its line has an end.

A power cut or a full disk may leave a part of a row. Nobody was told that it was saved: the next answer takes its
place, and reading passes it over.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
import re
from pathlib import Path

import pandas as pd

from dermforge.common.atomic import sync_folder
from dermforge.common.errors import UserError
from dermforge.common.regular_file import read_regular
from evalsuite.reader_study.blinded_set import RESPONSES

READER = re.compile(r"[A-Za-z0-9_-]{1,40}")
COLUMNS = ("reader", "item", "realism", "diagnosis", "group", "seconds", "time")


def append(folder: Path, row: dict[str, str]) -> None:
    """Add an answer to the reader's file and wait until the disk has it; after an error the file is as it was."""
    file = folder / RESPONSES / f"{row['reader']}.csv"
    file.parent.mkdir(exist_ok=True)
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        end = len(_whole(read_regular(file)))
        os.ftruncate(fd, end)
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        if not end:
            writer.writeheader()
        writer.writerow(row)
        try:
            _write(fd, text.getvalue().encode())
            os.fsync(fd)
        except BaseException:
            os.ftruncate(fd, end)
            raise
    finally:
        os.close(fd)
    if not end:
        sync_folder(file.parent)


def read(file: Path) -> pd.DataFrame:
    """A reader's answers as text, a row for each whole line.

    Raises
    ------
    UserError
        A line has too few or too many cells, or is another reader's.
    """
    lines = list(csv.reader(io.StringIO(_whole(read_regular(file)).decode(errors="replace"), newline="")))
    names, rows = (lines or [list(COLUMNS)])[0], lines[1:]
    for number, row in enumerate(rows, 2):
        if len(row) != len(names) or dict(zip(names, row, strict=True)).get("reader") != file.stem:
            raise UserError(
                f"{file}, line {number}: {','.join(row)[:60]!r} is no answer of {file.stem}; expected the cells "
                f"{', '.join(names)}: correct or remove the line"
            )
    return pd.DataFrame(rows, columns=names, dtype=object)


def answered(folder: Path, reader: str) -> set[str]:
    """Items that a reader has answered."""
    file = folder / RESPONSES / f"{reader}.csv"
    return set(read(file)["item"]) if file.is_file() else set()


def _whole(content: bytes) -> bytes:
    """The lines that have an end."""
    return content[: content.rfind(b"\n") + 1]


def _write(fd: int, content: bytes) -> None:
    while content:
        content = content[os.write(fd, content) :]
