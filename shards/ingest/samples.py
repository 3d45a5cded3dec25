"""Samples in tars as webdataset writes them: files with one name and several suffixes are one image and its labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from dermforge.common.errors import UserError
from dermforge.common.texts_as_values import json_value
from shards.ingest.files.found import FoundImage
from shards.ingest.files.kinds import IMAGE_SUFFIXES, OTHER_PICTURES, Kind, classify
from shards.ingest.files.walk import File
from shards.ingest.tables.columns import column_of, facts_of, tidy
from shards.ingest.tables.skin_types import Notation
from shards.ingest.tables.splits import split_of

#: The members that label a sample.
_LABELS = ("cls", "json")


def holds_samples(members: Sequence[File]) -> bool:
    """Whether some picture of a tar has a member `cls` or `json` with its own name."""
    keys = {_split(file)[0] for file in members if _ext(file) in _LABELS}
    return any(_split(file)[0] in keys for file in members if _is_picture(file))


def skin_types_of(members: Sequence[File]) -> Counter[tuple[str, str]]:
    """How often each skin type occurs in the JSON of a tar, by the key and the value; no picture is read."""
    counts: Counter[tuple[str, str]] = Counter()
    for file in members:
        if _ext(file) == "json":
            words = _words(file)
            key = column_of(words, "group")
            if key and (value := tidy("group", words[key])) is not None:
                counts[key, value] += 1
    return counts


def samples(
    members: Sequence[File], tar: File, notes: list[str], synthetic: bool = False, notation: Notation | None = None
) -> Iterator[FoundImage]:
    """The samples of a tar in stored order.

    Parameters
    ----------
    synthetic
        Whether the images may say that they are synthetic.
    notation
        Of the skin types; None leaves them as they are.

    Raises
    ------
    UserError
        The members of a sample do not follow each other, its pictures have names that do not say which one to take, or
        it is synthetic.
    """
    unused: Counter[str] = Counter()
    done: set[str] = set()
    whole = _whole_names(members)
    for key, group in groupby(members, key=lambda file: _split(file, whole)[0]):
        if key in done:
            raise UserError(
                f"{tar.path}: the members of one sample do not follow each other ({key}); sort the tar by name"
            )
        done.add(key)
        mine: dict[str, File] = {}
        for file in group:
            ext = _split(file, whole)[1]
            unused.update([f"a second {ext}"] if ext in mine else [])
            mine.setdefault(ext, file)
        yield _sample(key, mine, tar, unused, synthetic, notation or Notation({}))
    if unused:
        listed = ", ".join(f"{ext} ({n})" for ext, n in sorted(unused.items()))
        notes.append(f"{tar.place}: these members of samples are not used: {listed}")


def unlabelled(members: Sequence[File]) -> list[str]:
    """The suffixes of members that stand beside pictures of the same name, where no label is known."""
    keys = {_split(file)[0] for file in members if _is_picture(file)}
    return sorted({_ext(f) for f in members if not _is_picture(f) and _split(f)[0] in keys and _ext(f)})


def _sample(
    key: str, members: Mapping[str, File], tar: File, unused: Counter[str], synthetic: bool, notation: Notation
) -> FoundImage:
    pictures = {ext: file for ext, file in members.items() if f".{ext}" in IMAGE_SUFFIXES}
    others = {ext: file for ext, file in members.items() if _is_picture(file) and ext not in pictures}
    views = [ext for ext in others if "." in ext]
    if not pictures and len(views) > 1:
        raise UserError(
            f"{tar.path}: the pictures of {key} are called {', '.join(sorted(views))}; expected one picture, such as "
            f"{key}.jpg, in a sample"
        )
    split = split_of(*re.split(r"[-_.]", tar.name))
    found = FoundImage(key, _facts(members, split, key, synthetic, notation), place=f"{tar.place}/{key}")
    if pictures or others:
        ext = next((e for e in ("jpg", "jpeg", "png", "webp") if e in pictures), next(iter({**pictures, **others})))
        found.data = members[ext]
        if f".{ext}" in OTHER_PICTURES:
            found.problem = OTHER_PICTURES[f".{ext}"]
        unused.update(e for e in members if e != ext and e not in _LABELS)
    else:
        found.data, found.problem = b"", "there is no image among its members"
    return found


def _facts(
    members: Mapping[str, File], split: str | None, key: str, synthetic: bool, notation: Notation
) -> dict[str, Any]:
    words = _words(members["json"]) if "json" in members else {}
    if words.get("origin") == "synthetic" and not synthetic:
        raise UserError(f"{key} is synthetic, but only real images can be imported; copy shards with `shards select`")
    origin = words.pop("origin") if words.get("origin") in ("real", "phantom") else None
    columns = {ours: column_of(words, ours) for ours in ("class", "group", "cluster", "split")}
    facts = facts_of(words, columns)
    facts["group"] = notation.of(columns["group"], facts.get("group"))
    if not facts.get("class") and "cls" in members:
        facts["class"] = members["cls"].read().decode(errors="replace").strip() or None
    return facts | {"split": facts.get("split") or split, "origin": origin}


def _words(file: File) -> dict[str, str]:
    """The plain values of a JSON object as text; nothing of another JSON, or of what is none."""
    try:
        said = json_value(file.read())
    except ValueError:
        return {}
    return {k: str(v) for k, v in said.items() if isinstance(v, str | int | float)} if isinstance(said, dict) else {}


def _split(file: File, whole: frozenset[str] = frozenset()) -> tuple[str, str]:
    """Key and extension, as webdataset cuts them: at the first dot of the name. Those in `whole` at the last."""
    folder, _, base = file.place.rpartition("/")
    stem, _, ext = base.partition(".")
    if (by_last := base.rpartition("."))[0] and file.place.rpartition(".")[0] in whole:
        stem, ext = by_last[0], by_last[2]
    return (f"{folder}/{stem}" if folder else stem), ext.casefold()


def _whole_names(members: Sequence[File]) -> frozenset[str]:
    """Names with dots that have both a picture and a label: their dots are no extensions."""
    pictures = {file.place.rpartition(".")[0] for file in members if _is_picture(file)}
    labels = {file.place.rpartition(".")[0] for file in members if is_label(file)}
    return frozenset(name for name in pictures & labels if "." in name.rpartition("/")[2])


def is_label(file: File) -> bool:
    """Whether a member says what a sample shows."""
    return _ext(file) in _LABELS


def _ext(file: File) -> str:
    return file.name.rpartition(".")[2].casefold() if "." in file.name else ""


def _is_picture(file: File) -> bool:
    return classify(file.name)[0] in (Kind.IMAGE, Kind.MASK, Kind.PICTURE)
