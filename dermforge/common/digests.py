"""sha256 of files and folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest_file(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_files(root: Path, files: Iterable[Path]) -> str:
    """One sha256 over several files: their names relative to `root` and their contents, in sorted order."""
    total = hashlib.sha256()
    for name, path in sorted((p.relative_to(root).as_posix(), p) for p in files):
        total.update(f"{name}\0{digest_file(path)}\n".encode())
    return total.hexdigest()
