"""What a hub of the tests holds, and how it is to misbehave."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOKEN = "hf_abcdefghijklmnop"
#: Files of other names are small enough to be stored in git.
LARGE = (".tar", ".safetensors", ".onnx", ".data", ".bin", ".pt", ".so", ".plan")


@dataclass
class Repo:
    """A repository: every commit's files, by name."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    head: str = ""

    def commit(self, files: dict[str, bytes]) -> str:
        self.head = hashlib.sha1(f"{self.head}{len(self.commits)}".encode()).hexdigest()
        self.commits[self.head] = files
        return self.head

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.head]

    def change(self, **files: bytes | None) -> None:
        """A commit by somebody else, of whole files that a person wrote on the hub; None removes one."""
        self.commit({name: content for name, content in {**self.files, **files}.items() if content is not None})


class Hub:
    """The server's state, and how it is to misbehave.

    Attributes
    ----------
    received
        Bytes of every large file that arrived, by its sha256; a file that arrived twice counts twice.
    requests
        Each request's method and path.
    sent
        Bytes of files that were sent in answers.
    status, words, after
        Answer every request with this status and these words once so many files were downloaded.
    cut
        End the connection after so many bytes of the next large file.
    served
        What is sent in place of a file, by its name or sha256, as a broken store would.
    pause
        Seconds before each large file is stored.
    store
        Address that large files are downloaded from: another host than the hub's, which the token must not reach.
    """

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.received: dict[str, int] = {}
        self.sent = 0
        self.downloads = 0
        self.ranges: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.status: int | None = None
        self.words = "as the test asked"
        self.after = 0
        self.cut: int | None = None
        self.pause = 0.0
        self.served: dict[str, bytes] = {}
        self.url = self.store = ""

    def dataset(self, name: str) -> Repo:
        return self.repos["datasets", name]

    def model(self, name: str) -> Repo:
        return self.repos["models", name]

    def is_large(self, path: str) -> bool:
        return path.endswith(LARGE)

    def entry(self, path: str, content: bytes) -> dict[str, Any]:
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git}
        if self.is_large(path):
            oid = hashlib.sha256(content).hexdigest()
            self.blobs[oid] = content
            entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
        return entry


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
