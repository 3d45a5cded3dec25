"""Asking the Hugging Face Hub: one revision of a repository, and its refusals in one plain line.

Who asks is what `hf auth login` or HF_TOKEN says; no token is read, stored or printed here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import CRITICAL
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dermforge.common.digests import digest_file
from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.hub_address import HubAddress
from dermforge.common.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import HfApi

#: What to do about an answer that is no success.
_ANSWERS = {
    400: "the hub does not accept the request",
    401: "there is no such public repository, or the hub wants to know who you are: log in with `hf auth login`, or "
    "set HF_TOKEN to a token that may read and write there",
    403: "your token may not do this: take one with write access, ask the owner for access, or accept the terms on "
    "its page on the hub (`hf auth whoami` says who you are)",
    404: "there is no such repository or revision, or it is private and your token may not see it: check the name "
    "(`hf auth whoami` says who you are)",
    409: "somebody else changed it meanwhile: run the same command again",
    412: "somebody else changed it meanwhile: run the same command again",
    429: "the hub takes no more requests for now: wait some minutes, then run the same command again, which goes on",
}
_FAULT = "the hub has a fault of its own: wait some minutes, then run the same command again, which goes on"
#: The libraries whose errors, where no answer came with them, mean that there is no connection.
_NETWORK = ("requests", "urllib3", "httpx", "httpx2", "httpcore")
#: A file's name as it may stand in a repository that is fetched.
_PART = re.compile(r"[^/\\\x00-\x1f\x7f]{1,255}")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Attributes
    ----------
    digest
        Its sha256 where the hub stores it apart; else its git id, as of all small files.
    """

    size: int
    digest: str

    def is_like(self, path: Path) -> bool:
        """Whether a local file has the same content."""
        if not path.is_file() or path.is_symlink() or path.stat().st_size != self.size:
            return False
        if len(self.digest) == 64:
            return digest_file(path) == self.digest
        return git_id(path.read_bytes()) == self.digest


@dataclass(frozen=True)
class Repository:
    """One revision of a repository, as the hub lists it.

    Attributes
    ----------
    revision
        The commit.
    private
        Whether only those see it whom its owner lets in; a hub that does not say so gives False.
    """

    address: HubAddress
    revision: str
    private: bool
    files: dict[str, HubFile]


def connect() -> HfApi:
    """The hub that HF_ENDPOINT names, by default huggingface.co."""
    from huggingface_hub import HfApi

    return HfApi(library_name="dermforge", library_version=__version__)


def find(api: HfApi, address: HubAddress) -> Repository | None:
    """The repository in the revision that is asked for; None where there is none that this user may see.

    Raises
    ------
    UserError
        The hub cannot be asked, or refuses.
    CheckFailed
        A name in it leads out of the folder that it would be fetched into.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.hf_api import RepoFile

    asked: dict[str, Any] = {"repo_id": address.id, "repo_type": address.kind}
    with asking(address):
        try:
            info = api.repo_info(**asked, revision=address.revision)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return None
        entries = list(api.list_repo_tree(**asked, revision=info.sha, recursive=True))
    found = [entry for entry in entries if isinstance(entry, RepoFile)]
    files = {one.path: HubFile(one.size, one.lfs.sha256 if one.lfs else one.blob_id) for one in found}
    refuse_escapes(address, files)
    return Repository(address, str(info.sha), info.private is True, files)


def refuse_escapes(address: HubAddress, names: Iterable[str]) -> None:
    """Refuse a repository with a name that is no plain path below it.

    Raises
    ------
    CheckFailed
        Names the first of them.
    """
    for name in names:
        parts = name.split("/")
        if not all(_PART.fullmatch(part) and part not in (".", "..") for part in parts):
            raise CheckFailed(
                f"{address} lists a file {name!r}, which is no plain name: nothing is fetched from a repository that "
                "tries to write elsewhere"
            )


def git_id(content: bytes) -> str:
    """The id of a small file, as git computes it."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """The hub's library draws no bars and logs no addresses, which may be signed."""
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown, before = not are_progress_bars_disabled(), logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    if shown:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if shown:
            enable_progress_bars()


@contextmanager
def asking(address: HubAddress) -> Iterator[None]:
    """Turn what goes wrong with the hub or on the way to it into a `UserError` that says what to do.

    Nothing of a request is in the message: its address may be signed, and its headers hold the token.
    """
    try:
        yield
    except (UserError, CheckFailed):
        raise
    except Exception as error:
        if (why := _why(error)) is None:
            raise
        raise UserError(f"{address}: {why}") from error


def _why(error: Exception) -> str | None:
    """What an error of the hub's library means; None where neither the hub nor the network is at fault."""
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled

    chain = list(_chain(error))
    for one in chain:
        if (answer := getattr(one, "response", None)) is not None:
            status = int(answer.status_code)
            what = _FAULT if status >= 500 else _ANSWERS.get(status, "the hub does not do this")
            said = _plain(getattr(one, "server_message", None)) if status in (400, 403, 422) else ""
            return f"{what} (it answers {status}{said})"
    if any(isinstance(one, OfflineModeIsEnabled) for one in chain):
        return "HF_HUB_OFFLINE forbids the network; unset it to reach the hub"
    if any(isinstance(one, ConnectionError | TimeoutError) or _library(one) in _NETWORK for one in chain):
        host = urlsplit(constants.ENDPOINT).hostname
        return f"{host} does not answer: check the network, the proxy and HF_ENDPOINT, then run the same command again"
    if _library(error) == "huggingface_hub" or str(error).startswith(("LFS batch API", "Malformed response")):
        return f"the hub's answer is not understood ({type(error).__name__}); run the same command again"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _library(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _plain(message: str | None) -> str:
    """What the hub says, in one line, without what looks like a token or an address."""
    line = " ".join(str(message or "").split())
    line = re.sub(r"\bhf_\w+|https?://\S+", "...", line)[:200]
    return f": {line}" if line else ""
