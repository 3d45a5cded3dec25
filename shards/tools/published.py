"""What of a shard set goes to the hub and comes back: files that the format knows, and the consent that they need."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from dermforge.common.clear_names import in_clear
from dermforge.common.decoding import decoding
from dermforge.common.digests import digest_file
from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.hub_licences import Licence, licence
from dermforge.common.progress import Progress, silent
from dermforge.common.texts_as_values import json_value
from dermforge.common.whole_folder import TEMPORARY
from shards.format.interop import INFO
from shards.format.reader import ShardSet
from shards.format.schema import SHARD
from shards.format.withdrawn import Withdrawn
from shards.storage.claim import WITHDRAWN
from shards.storage.location import Folder
from shards.tools import croissant, datacard
from shards.tools.card_files import CARD_FILES, Words, card_files, names_of_people
from shards.tools.verify import verify
from shards.tools.whole_set import folders_of, open_whole

#: Beside the shards of a run of gen: its record and its plan, by which a shard can be made again.
RUN = ("run.json", "plan.csv")
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")


def is_ours(name: str) -> bool:
    """Whether a path in a repository is one of a shard set: in it, or in a folder of a set below it."""
    folder, _, file = name.rpartition("/")
    if name in CARD_FILES:
        return True
    known = SHARD.fullmatch(file) or (file.endswith(".idx") and SHARD.fullmatch(f"{file[:-4]}.tar"))
    other = file in (INFO, *RUN) or fnmatchcase(file, WITHDRAWN)
    return bool(known or other) and (name == file or _FOLDER.fullmatch(folder) is not None)


def files_of(location: Path) -> tuple[dict[str, Path], list[str]]:
    """The files of a set by their names in a repository, but for its card; and what else lies there, which stays."""
    found, left = dict[str, Path](), list[str]()
    for folder in folders_of(location):
        for entry in sorted(os.scandir(location / folder), key=lambda one: one.name):
            name = f"{folder}/{entry.name}" if folder else entry.name
            if name in CARD_FILES or any(fnmatchcase(entry.name, one) for one in TEMPORARY):
                continue
            if entry.is_file() and is_ours(name):
                found[name] = Path(entry.path)
            else:
                left.append(name + "/" * entry.is_dir())
    if folders := {Path(name).parts[0] for name in found if "/" in name}:
        left += [one.name for one in os.scandir(location) if one.name not in (*folders, *CARD_FILES)]
    return found, sorted(left)


def digests_of(data: ShardSet) -> dict[str, str]:
    """The sha256 of each tar, as its sidecar records it.

    Raises
    ------
    UserError
        A shard was written without digests.
    """
    if lacking := next((one.tar for one in data.sidecars if not one.sha256), None):
        raise UserError(
            f"{data}/{lacking} was written without digests, so nobody could tell whether it came back whole: write it "
            "again (`shards select`)"
        )
    return {one.tar: one.sha256 for one in data.sidecars}


def check_consent(data: ShardSet, location: Path, real_images: bool, real_ids: bool) -> None:
    """Refuse what identifies people, unless whoever pushes it says that it may be published.

    Raises
    ------
    UserError
        There are real images, or names in clear; says what to give.
    """
    real = int((data.rows["origin"] == "real").sum())
    if real and not real_images:
        raise UserError(
            f"{location} holds {real} real images of {data.n}: photographs of patients, which leave this machine for "
            "another company's, also where the repository is private. If their consent and your ethics board allow "
            "that, give `publish_real_images`"
        )
    sets = (Withdrawn.of(Folder(location / folder)) for folder in folders_of(location))
    signed = {record.signed_off_by for one in sets for record in one.records}
    if (names := sorted({*in_clear(names_of_people(data)), *signed})) and not real_ids:
        few = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        raise UserError(
            f"{location} holds {len(names)} names in clear ({few}), of photographs, patients or those who signed a "
            "withdrawal: they can say who somebody is, and that a disease was photographed. Make the set again with "
            "`shards make --hash-ids`; or, where they identify nobody, as in a public data set, give `publish_real_ids`"
        )


def card_of(data: ShardSet, location: Path, name: str, chosen: str | None, link: str | None) -> dict[str, bytes]:
    """The card of a set that is pushed: a person's words in the one that is there are kept, the numbers are new.

    Parameters
    ----------
    name
        OWNER/NAME, the title where there is no card.
    chosen, link
        The licence, and the address of its text; None for that of the card that is there.

    Raises
    ------
    UserError
        No licence is named, or two different ones.
    """
    from huggingface_hub import DatasetCard

    there, own = Folder(location), None
    if datacard.CARD in there.names():
        with decoding(
            f"cannot read the head of {location}/{datacard.CARD}", "write it again with `shards card --force`"
        ):
            own = DatasetCard(there.read(datacard.CARD).decode())
    said = vars(own.data) if own else {}
    agreed = _licence(said, chosen, link)
    description = there.read(croissant.FILE) if croissant.FILE in there.names() else b""
    files = card_files(data, _words(description, name, agreed))
    if own:
        for key, value in {**agreed.head(), **datacard.facts(data)}.items():
            own.data[key] = value
        files[datacard.CARD] = str(own).encode()
    return files


def _licence(said: Mapping[str, object], chosen: str | None, link: str | None) -> Licence:
    """The licence of the options, or of the card."""
    before = said.get("license")
    before = str(before) if before else None
    if chosen and before and chosen != before:
        raise UserError(
            f"the set's {datacard.CARD} says that its licence is {before}, and `licence` says {chosen}: change one"
        )
    old = said.get("license_link")
    return licence(chosen or before, link or (str(old) if old else None))


def _words(content: bytes, name: str, chosen: Licence) -> Words:
    """The author's words of an earlier description; new ones where there is none."""
    title = name.split("/")[1]
    usual = Words(title, chosen, url=f"https://huggingface.co/datasets/{name}")
    try:
        old = json_value(content)
        summary = "" if croissant.is_counted(old["description"]) else str(old["description"])
        return replace(
            usual,
            name=str(old["name"]),
            summary=summary,
            cite=str(old["citeAs"]),
            version=str(old["version"]),
            date=str(old["datePublished"]),
        )
    except (ValueError, KeyError, TypeError):
        return usual


def chosen_of(names: Iterable[str], address: object) -> list[str]:
    """The files of a repository that are fetched.

    Raises
    ------
    UserError
        It holds no shards.
    """
    found = [name for name in names if is_ours(name)]
    if not any(name.endswith(".tar") for name in found):
        raise UserError(f"{address} holds no shards (name-000000.tar with name-000000.json); see its page on the hub")
    return found


def check_whole(folder: Path, progress: Progress = silent) -> None:
    """Verify every set in a folder, and the description's list of files.

    Raises
    ------
    CheckFailed
        Names the first fault, and how many there are.
    """
    with progress("verifying", None) as tick:
        faults = [fault for below in folders_of(folder) for fault in verify(folder / below, True, tick=tick).faults]
    faults = faults or list(_description_faults(folder))
    if faults:
        raise CheckFailed(f"{faults[0]} ({len(faults)} faults)")


def _description_faults(folder: Path) -> Iterator[str]:
    """Where croissant.json does not list the shards and the table that are there, by their digests."""
    path = folder / croissant.FILE
    if not path.is_file():
        return
    try:
        listed = {
            one["name"]: one["sha256"] for one in json_value(path.read_bytes())["distribution"] if "sha256" in one
        }
    except (ValueError, KeyError, TypeError) as error:
        yield f"{path} is damaged ({type(error).__name__})"
        return
    there = digests_of(open_whole(folder))
    if (folder / croissant.TABLE).is_file():
        there[croissant.TABLE] = digest_file(folder / croissant.TABLE)
    for name in sorted(listed.keys() | there.keys()):
        if listed.get(name) != there.get(name):
            state = "is missing" if name not in there else "is not listed" if name not in listed else "is another file"
            yield f"{name} {state}, by {croissant.FILE}"
