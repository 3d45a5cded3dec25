"""Reading shards: rows from sidecars, images by offset; whatever is wrong is named."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from shards import tar
from shards.errors import CheckFailed, UserError
from shards.images import decode_image
from shards.places import Place, place
from shards.schema import SHARED_FIELDS, Row, Sample, Sidecar
from shards.tone import TONE_GROUPS

SHARD = re.compile(r"^[A-Za-z0-9_-]{1,80}-[0-9]{6}\.(tar|json)$")

Words = str | Collection[str] | None


class ImageSet:
    """Images that are known by a table and read one by one.

    Attributes
    ----------
    rows
        A row an image: id, class, group, origin, strategy, split, cluster, parent, image_sha256, and what more
        the kind of set knows. The index is 0 to n - 1.
    classes
        Sorted names; labels are positions in this list.
    """

    def __init__(self, rows: pd.DataFrame, classes: Sequence[str]) -> None:
        self.rows, self.classes = rows, list(classes)

    def at(self, position: int, verify: bool = True) -> tuple[Sample, bytes]:
        """The sample in this row, and its encoded image."""
        raise TypeError("an ImageSet is read through ShardSet or FolderSet")

    def image_at(self, position: int, verify: bool = True) -> tuple[Sample, NDArray[np.uint8]]:
        """The sample in this row, and its image as RGB, uint8 [H, W, 3].

        Raises
        ------
        CheckFailed
            The image cannot be decoded; names the file and the id.
        """
        sample, data = self.at(position, verify)
        try:
            return sample, decode_image(data)
        except UserError as error:
            raise CheckFailed(f"{sample.id} in {self.source(position)}: {error}") from error

    def source(self, position: int) -> str:
        """The file that holds this row."""
        return ""

    @property
    def n(self) -> int:
        return len(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The class of each row as a position in `classes`."""
        number = {label: i for i, label in enumerate(self.classes)}
        return np.array([number[label] for label in self.rows["class"]], dtype=np.int64)

    @property
    def groups(self) -> list[str]:
        """The groups that occur; tone groups from light to dark, others sorted."""
        found = {group for group in self.rows["group"] if group is not None}
        return [g for g in TONE_GROUPS if g in found] if found <= set(TONE_GROUPS) else sorted(found)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {key: i for i, key in enumerate(self.rows["id"])}

    def position(self, id: str) -> int:
        """The row of an id.

        Raises
        ------
        UserError
            There is no such image.
        """
        if id not in self._positions:
            raise UserError(f"there is no image {id!r} among the {self.n} in {self}; `shards ls` lists them")
        return self._positions[id]

    def read(self, id: str, verify: bool = True) -> tuple[Sample, bytes]:
        """One sample and its encoded image."""
        return self.at(self.position(id), verify)

    def samples(self, verify: bool = False) -> Iterator[tuple[Sample, bytes]]:
        """All samples and their encoded images, in stored order."""
        for position in range(self.n):
            yield self.at(position, verify)

    def images(self, verify: bool = True) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
        """All samples and their images as RGB, uint8 [H, W, 3]."""
        for position in range(self.n):
            yield self.image_at(position, verify)

    def where(
        self, cls: Words = None, group: Words = None, strategy: Words = None, split: Words = None,
        origin: Words = None, min_score: Mapping[str, float] | None = None, ids: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
    ) -> Self:
        """The rows that meet every condition, as a view; no image is read.

        Parameters
        ----------
        min_score
            Score name -> least value; an image without that score is left out.
        ids, exclude
            Ids to keep, ids to leave out.
        """
        keep = np.ones(self.n, dtype=bool)
        wanted = {"class": cls, "group": group, "strategy": strategy, "split": split, "origin": origin, "id": ids}
        for column, words in wanted.items():
            if words is not None:
                keep &= self.rows[column].isin({words} if isinstance(words, str) else set(words)).to_numpy()
        if exclude is not None:
            keep &= ~self.rows["id"].isin(set(exclude)).to_numpy()
        for name, least in (min_score or {}).items():
            scores = [row.get(name, float("nan")) for row in self.rows["scores"]]
            keep &= np.array(scores, dtype=float) >= least
        return self.take(np.flatnonzero(keep))

    def take(self, positions: NDArray[np.intp] | Sequence[int]) -> Self:
        """The rows at these positions, in this order, as a view."""
        view = copy.copy(self)
        view.__dict__ = {k: v for k, v in self.__dict__.items() if k not in ("labels", "_positions", "_places")}
        view.rows = self.rows.iloc[np.asarray(positions, dtype=np.intp)].reset_index(drop=True)
        return view


class ShardSet(ImageSet):
    """The shards of one folder or bucket.

    Every tar is checked against its sidecar's size when it is opened and every header as it is read; the digests
    of images are checked where `verify` says so, that of a whole tar by `shards verify --deep`.
    """

    def __init__(self, where: Place, sidecars: Sequence[Sidecar], classes: Sequence[str]) -> None:
        super().__init__(_table(sidecars), classes)
        self.place, self.sidecars = where, list(sidecars)
        self._files = _Files(where)

    @classmethod
    def open(cls, location: str | Path) -> ShardSet:
        """Read and check all sidecars of a folder or an fsspec address.

        Raises
        ------
        UserError
            There are no shards.
        CheckFailed
            A sidecar is damaged, a tar is missing or of the wrong size, a shard has no sidecar, an id is there
            twice, or the shards disagree on the classes.
        """
        where = place(location)
        names = where.names()
        shards = [name for name in names if SHARD.match(name)]
        if not shards:
            raise UserError(f"{where} holds no shards (name-000000.tar with name-000000.json); `shards make` "
                            "turns images into shards")
        records = sorted(name for name in shards if name.endswith(".json"))
        with ThreadPoolExecutor(8) as pool:
            contents = list(pool.map(where.read, records))
        sidecars = [
            Sidecar.from_bytes(content, f"{where}/{name}") for name, content in zip(records, contents, strict=True)
        ]
        _check_files(where, names, records, sidecars)
        _check_set(where, sidecars)
        return cls(where, sidecars, sidecars[0].classes)

    def at(self, position: int, verify: bool = True) -> tuple[Sample, bytes]:
        """The sample in this row, and its encoded image.

        Parameters
        ----------
        verify
            Compute the image's digest.

        Raises
        ------
        CheckFailed
            The tar is not what its sidecar says: truncated, changed, or another file.
        """
        sidecar, row = self._locate(position)
        data = self._files.read(sidecar, row.offset, row.bytes)
        return unpack(data, row, f"{self.place}/{sidecar.tar}", verify)

    def source(self, position: int) -> str:
        return f"{self.place}/{self._locate(position)[0].tar}"

    def row(self, position: int) -> Row:
        """What the sidecar says of the image in this row."""
        return self._locate(position)[1]

    def _locate(self, position: int) -> tuple[Sidecar, Row]:
        shard, number = self._places[position]
        sidecar = self.sidecars[shard]
        return sidecar, sidecar.samples[number]

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        return list(zip(self.rows["shard"].tolist(), self.rows["row"].tolist(), strict=True))

    def __str__(self) -> str:
        return str(self.place)


def unpack(data: bytes, row: Row, source: str, verify: bool) -> tuple[Sample, bytes]:
    """A sample from its stretch of the tar, its headers compared with those that the writer would write.

    Raises
    ------
    CheckFailed
        A header, the JSON or (with `verify`) the image differs from the sidecar; names the file and the member.
    """
    if len(data) != row.bytes:
        raise CheckFailed(f"{source} ends inside {row.id}: expected {row.bytes} bytes at {row.offset}, got "
                          f"{len(data)}; write the shard again, or `shards repair` it")
    contents: dict[str, bytes] = {}
    for ext, (start, size) in row.members.items():
        at = start - row.offset
        if data[at - tar.BLOCK : at] != tar.header(f"{row.id}.{ext}", size):
            raise CheckFailed(f"{source} is damaged: the header of {row.id}.{ext} at byte {start - tar.BLOCK} is not "
                              "as it was written; write the shard again, or `shards repair` it")
        contents[ext] = data[at : at + size]
    image = contents[row.ext]
    if verify and row.image_sha256 and hashlib.sha256(image).hexdigest() != row.image_sha256:
        raise CheckFailed(f"{source} is damaged: {row.id}.{row.ext} at byte {row.members[row.ext][0]} does not have "
                          f"the sha256 {row.image_sha256[:12]}; write the shard again, or `shards repair` it")
    try:
        sample = Sample.model_validate_json(contents["json"])
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckFailed(f"{source} is damaged: {row.id}.json: {first['msg']}; write the shard again, or "
                          "`shards repair` it") from error
    for name in SHARED_FIELDS:
        if getattr(sample, name) != getattr(row, name):
            raise CheckFailed(f"{source} is damaged: {row.id}.json says {name} {getattr(sample, name)!r}, the sidecar "
                              f"{getattr(row, name)!r}; write the shard again, or `shards repair` it")
    return sample, image


def finished(folder: Path, name: str) -> dict[int, Sidecar]:
    """The committed shards of a name by number, for resuming: whole sidecars whose tars have the right size."""
    from shards.writer import committed

    found = [committed(path) for path in sorted(folder.glob(f"{name}-" + "[0-9]" * 6 + ".json"))]
    return {sidecar.index: sidecar for sidecar in found if sidecar}


class _Files:
    """Open tars, the most recent few; reading by position, so threads and forked workers may share them."""

    OPEN = 64

    def __init__(self, where: Place) -> None:
        self.where = where
        self.files: OrderedDict[str, BinaryIO] = OrderedDict()

    def read(self, sidecar: Sidecar, offset: int, size: int) -> bytes:
        file = self.files.get(sidecar.tar)
        if file is None:
            path = self.where.fetch(sidecar.tar)
            if path.stat().st_size != sidecar.bytes:
                raise CheckFailed(_wrong_size(f"{self.where}/{sidecar.tar}", sidecar.bytes, path.stat().st_size))
            file = self.files[sidecar.tar] = path.open("rb", buffering=0)
            if len(self.files) > self.OPEN:  # closed when the last reader lets go of it
                self.files.popitem(last=False)
        return os.pread(file.fileno(), size, offset)

    def __getstate__(self) -> dict[str, Any]:
        return {"where": self.where, "files": OrderedDict()}


def listed_in_info(where: Place) -> set[str]:
    """The tars that timm's `_info.json` names.

    Raises
    ------
    CheckFailed
        The file is damaged.
    """
    try:
        splits = json.loads(where.read("_info.json"))["splits"].values()
        return {str(name) for split in splits for name in split["filenames"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckFailed(f"{where}/_info.json is damaged ({error}); remove it, and timm does without") from error


def _table(sidecars: Sequence[Sidecar]) -> pd.DataFrame:
    columns = [name for name in Row.model_fields if name != "members"]
    data: dict[str, list[Any]] = {"class" if name == "label" else name: [] for name in columns}
    data |= {"shard": [], "row": []}
    for shard, sidecar in enumerate(sidecars):
        for name in columns:
            data["class" if name == "label" else name] += [getattr(row, name) for row in sidecar.samples]
        data["shard"] += [shard] * sidecar.n
        data["row"] += range(sidecar.n)
    numbers = ("offset", "bytes", "shard", "row")
    return pd.DataFrame({k: pd.Series(v, dtype="int64" if k in numbers else object) for k, v in data.items()})


def _check_files(where: Place, names: dict[str, int], records: list[str], sidecars: list[Sidecar]) -> None:
    tars = {name for name in names if SHARD.match(name) and name.endswith(".tar")}
    for record, sidecar in zip(records, sidecars, strict=True):
        if record != f"{sidecar.stem}.json":
            raise CheckFailed(f"{where}/{record} describes {sidecar.tar}; it was renamed: give it its name back")
        if sidecar.tar not in tars:
            raise CheckFailed(f"{where}/{sidecar.tar} is missing, but {record} describes it; write it again, or "
                              "remove the sidecar too")
        if names[sidecar.tar] != sidecar.bytes:
            raise CheckFailed(_wrong_size(f"{where}/{sidecar.tar}", sidecar.bytes, names[sidecar.tar]))
    if orphans := sorted(tars - {sidecar.tar for sidecar in sidecars}):
        raise CheckFailed(f"{where}/{orphans[0]} has no sidecar ({len(orphans)} such); expected "
                          f"{Path(orphans[0]).stem}.json: run the command that wrote it again, `shards repair` it, or "
                          "import shards of other tools with `shards make`")
    if "_info.json" in names and (missing := sorted(listed_in_info(where) - tars)):
        raise CheckFailed(f"{where}/{missing[0]} is missing ({len(missing)} such), but _info.json lists it; "
                              "write it again, or remove _info.json if the shard went on purpose")


def _check_set(where: Place, sidecars: list[Sidecar]) -> None:
    seen: dict[str, str] = {}
    for sidecar in sidecars:
        if sidecar.classes != sidecars[0].classes:
            raise CheckFailed(f"{where}/{sidecar.tar} has the classes {', '.join(sidecar.classes)}, but "
                              f"{sidecars[0].tar} has {', '.join(sidecars[0].classes)}; keep them in two folders")
        for row in sidecar.samples:
            if row.id in seen:
                raise CheckFailed(f"the id {row.id!r} is in {seen[row.id]} and in {sidecar.tar} of {where}; every "
                                  "image once: `shards select` one of them, or write them again")
            seen[row.id] = sidecar.tar


def _wrong_size(path: str, expected: int, got: int) -> str:
    return (f"{path} has {got} bytes, its sidecar says {expected}; write the shard again, or save what can be saved "
            "with `shards repair`")
