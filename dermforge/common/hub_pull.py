"""Fetching a repository of the hub into a folder: whole, checked and known files only, or not at all.

What has arrived waits in a hidden folder beside the new one, so that a pull that was stopped goes on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dermforge.common.atomic import locked
from dermforge.common.digests import digest_bytes
from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.hub import Repository, asking, connect, find, quiet
from dermforge.common.hub_address import HubAddress
from dermforge.common.output_folder import claim
from dermforge.common.private_folder import private_folder
from dermforge.common.progress import Progress, silent
from dermforge.common.whole_folder import whole_folder

#: Files that are fetched side by side.
FETCHED = 4


@dataclass(frozen=True)
class Format:
    """What is fetched of a repository.

    Attributes
    ----------
    what
        Such as "a shard set".
    choose
        The files to fetch; it is given the repository, and may read a small file of it. Raises a `UserError` or
        `CheckFailed` where the repository does not hold what is expected.
    check
        Compares a folder of the chosen files with their records; raises `CheckFailed` or a `UserError`.
    """

    what: str
    choose: Callable[[Remote], Sequence[str]]
    check: Callable[[Path], None]


@dataclass(frozen=True)
class Pulled:
    """What a pull did.

    Attributes
    ----------
    was_there
        The folder held all of it already.
    left_out
        Files of the repository that are not of the format, and were not fetched.
    """

    address: str
    revision: str
    out: str
    files: int
    bytes: int
    was_there: bool
    left_out: list[str]


@dataclass(frozen=True)
class Remote:
    """A revision of a repository, and the folder that its files are fetched into.

    Attributes
    ----------
    folder
        Hidden and private; it stays until all of the pull is done.
    """

    repository: Repository
    folder: Path

    @property
    def names(self) -> list[str]:
        return sorted(self.repository.files)

    def read(self, name: str) -> bytes:
        """The content of a small file."""
        self._fetch(name)
        return (self.folder / name).read_bytes()

    def fetch(self, names: Sequence[str], progress: Progress) -> None:
        """Fetch files, or what is left of them.

        Raises
        ------
        UserError
            The hub cannot be asked, or refuses.
        CheckFailed
            A file is not what the hub's own list says.
        """
        title = f"fetching {self.repository.address}"
        with progress(title, len(names), "files") as tick, ThreadPoolExecutor(FETCHED) as pool:
            try:
                for _ in pool.map(self._fetch, names):
                    tick()
            finally:
                pool.shutdown(cancel_futures=True)

    def _fetch(self, name: str) -> None:
        address, revision = self.repository.address, self.repository.revision
        with asking(address):
            connect().hf_hub_download(
                address.id, name, repo_type=address.kind, revision=revision, local_dir=self.folder
            )
        if not self.repository.files[name].is_like(self.folder / name):
            (self.folder / name).unlink(missing_ok=True)
            raise CheckFailed(
                f"{name} of {address} did not arrive as the hub lists it (another size or digest); run the same "
                "command again, which fetches this file anew"
            )


@quiet()
def pull(address: HubAddress, out: Path, form: Format, progress: Progress = silent) -> Pulled:
    """Make a folder of the files that a format knows.

    Raises
    ------
    UserError
        There is no such repository, the hub refuses, or the folder holds other files. What has arrived is kept.
    CheckFailed
        A file is not as its record says, or the repository holds what it must not. There is no folder then.
    """
    out = Path(os.path.realpath(out))
    repository = find(connect(), address)
    if repository is None:
        raise UserError(
            f"{address}: there is no such repository, or it is private and the hub does not know you: check the name, "
            "or log in with `hf auth login`"
        )
    claim(out, form.what, ["*"])  # a file in its place is refused; what is in a folder is compared below
    out.parent.mkdir(parents=True, exist_ok=True)
    key = digest_bytes(f"{address.kind} {address.id}".encode())[:16]
    folder = private_folder(out.with_name(f".{out.name}.pull-{key}"), "remove it")
    with locked(folder):
        remote = Remote(repository, folder)
        names = form.choose(remote)
        was_there = _holds(out, repository, names)
        if not was_there:
            _refuse_other(out, form.what)
            remote.fetch(names, progress)
            _land(folder, out, names, form.check)
        shutil.rmtree(folder, ignore_errors=True)
    total, left = sum(repository.files[name].size for name in names), sorted(set(repository.files) - set(names))
    left = [name for name in left if name not in (".gitattributes", "README.md")]
    return Pulled(str(address), repository.revision, str(out), len(names), total, was_there, left)


def _holds(out: Path, repository: Repository, names: Sequence[str]) -> bool:
    """Whether a folder holds these files, and no others."""
    if not out.is_dir():
        return False
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    return there == set(names) and all(repository.files[name].is_like(out / name) for name in names)


def _refuse_other(out: Path, what: str) -> None:
    if out.is_dir() and (there := sorted(os.listdir(out))):
        raise UserError(
            f"{out} holds {there[0]} and is not what is on the hub now: nothing is written over; give an empty or a "
            f"new folder for {what}"
        )


def _land(folder: Path, out: Path, names: Sequence[str], check: Callable[[Path], None]) -> None:
    """Check the files where nothing else lies beside them, and give the folder its name; bad ones are not kept."""
    with whole_folder(out) as whole:
        for name in names:
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # a file system without links: then a copy
                os.link(folder / name, whole / name)
            if not (whole / name).exists():
                shutil.copyfile(folder / name, whole / name)
        try:
            check(whole)
        except (CheckFailed, UserError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            what = str(error).replace(f"{whole}/", "").replace(str(whole), str(out))
            raise CheckFailed(f"what came from the hub is not whole, and no folder was made: {what}") from error
