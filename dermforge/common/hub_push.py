"""Sending files to the hub: private unless asked otherwise, nothing twice, and the card last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.hub import HubFile, Repository, asking, connect, find, git_id, quiet
from dermforge.common.hub_address import HubAddress
from dermforge.common.progress import Progress, silent

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

#: Files that are sent side by side, and files of one commit: a request may be neither too large nor too long.
SENT, COMMITTED = 16, 200


@dataclass(frozen=True)
class Content:
    """What is to be pushed.

    Attributes
    ----------
    files
        Name in the repository -> the local file, or its bytes.
    card
        Those of the files that describe the others; they come last, so that they never describe what is not there.
    digests
        The sha256 that files must have.
    is_ours
        Whether a name is one of the format: such a file that the hub has and that is not pushed is removed there.
    """

    files: Mapping[str, Path | bytes]
    card: Sequence[str]
    digests: Mapping[str, str]
    is_ours: Callable[[str], bool]


@dataclass
class Pushed:
    """What a push did.

    Attributes
    ----------
    sent
        Files of which the content was new in the repository.
    removed, replaced
        Files of a former state, which the repository's history still holds.
    others
        Files of the repository that are not of the format; they are left.
    """

    address: str
    revision: str
    private: bool
    files: int
    bytes: int
    sent: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


@quiet()
def push(address: HubAddress, content: Content, public: bool, message: str, progress: Progress = silent) -> Pushed:
    """Make the newest state of a repository hold these files.

    The hub keeps each whole file that arrived, also where the push was stopped: the next one sends the others only.

    Parameters
    ----------
    public
        Create the repository so that everybody sees it, or accept one that everybody sees.

    Raises
    ------
    UserError
        The repository is public and that was not asked for, or the hub refuses.
    CheckFailed
        A file is not as it was recorded.
    """
    api = connect()
    there = _repository(api, address, public)
    additions = _described(content, progress)
    known = there.files
    new = [one for one in additions if not _is_there(one, known.get(one.path_in_repo))]
    removed = sorted(name for name in known if content.is_ours(name) and name not in content.files)
    done = Pushed(
        str(address),
        there.revision,
        there.private,
        len(additions),
        sum(one.upload_info.size for one in additions),
        sent=[one.path_in_repo for one in new],
        removed=removed,
        replaced=[
            one.path_in_repo for one in new if one.path_in_repo in known and one.path_in_repo not in content.card
        ],
        others=sorted(name for name in known if not content.is_ours(name) and name != ".gitattributes"),
    )
    own: dict[str, Any] = {"repo_id": address.id, "repo_type": address.kind}
    with asking(address), progress(f"sending to {address}", len(new), "files") as tick:
        for some in _cut(new, SENT):
            api.preupload_lfs_files(**own, additions=some, free_memory=False)
            tick(len(some))
    with asking(address):
        for operations in _commits(new, content.card, removed):
            made = api.create_commit(**own, operations=operations, commit_message=message, parent_commit=done.revision)
            done.revision = made.oid
    return done


def _repository(api: HfApi, address: HubAddress, public: bool) -> Repository:
    """The repository, made if there is none; nothing was sent to it yet."""
    there = find(api, address)
    if there is None:
        with asking(address):
            api.create_repo(address.id, repo_type=address.kind, private=not public)
        there = find(api, address)
    if there is None:
        raise UserError(f"{address} was made and cannot be seen: your token may write there and not read; take another")
    if not there.private and not public:
        raise UserError(
            f"{address} is public, or the hub does not say that it is private: everybody would see what is pushed. "
            "Nothing was sent; make it private in its settings on the hub, or give `public`"
        )
    return there


def _described(content: Content, progress: Progress) -> list[CommitOperationAdd]:
    """What the hub is told of each file, the card last; every file is read and compared with its record."""
    from huggingface_hub import CommitOperationAdd

    found = []
    names = sorted(content.files, key=lambda name: (name in content.card, name))
    with progress("reading", len(names), "files") as tick:
        for name in names:
            held = content.files[name]
            found.append(CommitOperationAdd(name, held))
            digest = found[-1].upload_info.sha256.hex()
            if digest != (expected := content.digests.get(name, digest)):
                raise CheckFailed(
                    f"{held if isinstance(held, Path) else name} has the sha256 {digest[:12]}, and its record says "
                    f"{expected[:12]}: it was changed or damaged; nothing was sent"
                )
            tick()
    return found


def _is_there(one: CommitOperationAdd, known: HubFile | None) -> bool:
    """Whether the hub has this content under the same name."""
    if known is None or known.size != one.upload_info.size:
        return False
    if len(known.digest) == 64:
        return known.digest == one.upload_info.sha256.hex()
    with one.as_file() as file:
        return known.digest == git_id(file.read())


def _commits(new: Sequence[CommitOperationAdd], card: Sequence[str], removed: Sequence[str]) -> Iterator[list[Any]]:
    """What each commit does: those with images first, then one with the card, which also removes what is gone."""
    from huggingface_hub import CommitOperationDelete

    first = [one for one in new if one.path_in_repo not in card]
    last = [one for one in new if one.path_in_repo in card]
    gone = [CommitOperationDelete(name, is_folder=False) for name in removed]
    if len(first) + len(last) + len(gone) <= COMMITTED:
        if new or gone:
            yield [*first, *last, *gone]
        return
    yield from _cut(first, COMMITTED)
    if last or gone:
        yield [*last, *gone]


def _cut(items: Sequence[CommitOperationAdd], n: int) -> Iterator[list[CommitOperationAdd]]:
    """The items in lists of at most n."""
    yield from (list(items[start : start + n]) for start in range(0, len(items), n))
