"""Reading of shards: rows from the sidecars, images from the tars by offset. Errors name the file and the member."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.skin_tone import in_order
from shards.format.consistency import file_fault, info_faults, orphan_faults, set_faults
from shards.format.images import decode_image
from shards.format.nearby import no_shards
from shards.format.provenance import Provenance
from shards.format.schema import SHARD, Sample, Sidecar, SidecarRow
from shards.format.unpack import OpenTars, unpack
from shards.format.withdrawn import Withdrawn
from shards.storage.location import Storage, open_storage

Words = str | Collection[str] | None


class ImageSet:
    """Images that are described by a table and read one by one.

    Attributes
    ----------
    rows
        One row an image: id, class, group, origin, strategy, split, cluster, parent, image_sha256, and more columns
        that depend on the kind of set. The index is 0 to n - 1.
    classes
        Sorted names; labels are positions in this list.
    """

    def __init__(self, rows: pd.DataFrame, classes: Sequence[str]) -> None:
        self.rows, self.classes = rows, list(classes)

    def at(self, position: int, verify: bool = True) -> tuple[Sample, bytes]:
        """The sample in this row, and its encoded image."""
        raise TypeError("an ImageSet is read through ShardSet or FolderSet")

    def file_at(self, position: int) -> bytes:
        """The encoded image in this row as it lies there, in whatever format; its digest is not checked."""
        return self.at(position, verify=False)[1]

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

    def check_shard(self, position: int) -> None:
        """Compare the digest of the shard that holds this row with its sidecar's, once; plain files have none.

        Raises
        ------
        CheckFailed
            The shard is not the one that was written; names it.
        """

    def source(self, position: int) -> str:
        """The file that holds this row."""
        return ""

    def provenance(self, position: int) -> Provenance:
        """What made the image in this row; empty for plain files."""
        return Provenance()

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
        """The groups that occur: tone groups from light to dark, other groups sorted."""
        return in_order({group for group in self.rows["group"] if group is not None})

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
        self,
        cls: Words = None,
        group: Words = None,
        strategy: Words = None,
        split: Words = None,
        origin: Words = None,
        min_score: Mapping[str, float] | None = None,
        ids: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
    ) -> Self:
        """A view of the rows that meet every condition; no image is read.

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
        """A view of the rows at these positions, in this order."""
        view = copy.copy(self)
        view.__dict__ = {k: v for k, v in self.__dict__.items() if k not in ("labels", "_positions", "_places")}
        view.rows = self.rows.iloc[np.asarray(positions, dtype=np.intp)].reset_index(drop=True)
        return view


class ShardSet(ImageSet):
    """The shards of one folder or bucket.

    The size of a tar is checked when it is opened, and every header when it is read. Digests of images are checked
    where `verify` is True, the digest of a whole tar by `check_shard`.
    """

    def __init__(self, where: Storage, sidecars: Sequence[Sidecar], classes: Sequence[str]) -> None:
        super().__init__(_table(sidecars), classes)
        self.storage, self.sidecars = where, list(sidecars)
        self._files = OpenTars(where)

    @classmethod
    def open(cls, location: str | Path, purging: bool = False) -> ShardSet:
        """Read and check all sidecars of a folder or an fsspec address.

        Parameters
        ----------
        purging
            Accept images that were withdrawn: for their removal only.

        Raises
        ------
        UserError
            There are no shards.
        CheckFailed
            A sidecar is damaged, a tar is missing or has the wrong size, a tar has no sidecar, two shards share an
            id, their classes differ, or one holds an image that was withdrawn.
        """
        where = open_storage(location)
        names = where.names()
        shards = [name for name in names if SHARD.match(name)]
        if not shards:
            raise UserError(no_shards(location))
        records = sorted(name for name in shards if name.endswith(".json"))
        with ThreadPoolExecutor(8) as pool:
            contents = list(pool.map(where.read, records))
        sidecars = [
            Sidecar.from_bytes(content, f"{where}/{name}") for name, content in zip(records, contents, strict=True)
        ]
        faults = (file_fault(where, names, r, s) for r, s in zip(records, sidecars, strict=True))
        withdrawn = () if purging else Withdrawn.of(where, names).faults(where, sidecars)
        others = orphan_faults(where, names), info_faults(where, names), set_faults(where, sidecars), withdrawn
        for fault in chain(faults, *others):
            if fault:
                raise CheckFailed(fault)
        return cls(where, sidecars, sidecars[0].classes)

    def at(self, position: int, verify: bool = True) -> tuple[Sample, bytes]:
        """The sample in this row, and its encoded image.

        Parameters
        ----------
        verify
            Check the digest of the image.

        Raises
        ------
        CheckFailed
            The tar does not match its sidecar: it was truncated, changed or replaced.
        """
        sidecar, row = self._locate(position)
        data = self._files.read(sidecar, row.offset, row.bytes)
        return unpack(data, row, f"{self.storage}/{sidecar.tar}", verify)

    def check_shard(self, position: int) -> None:
        self._files.check(self._locate(position)[0])

    def source(self, position: int) -> str:
        return f"{self.storage}/{self._locate(position)[0].tar}"

    def provenance(self, position: int) -> Provenance:
        return self._locate(position)[0].provenance

    def row(self, position: int) -> SidecarRow:
        """The entry of the sidecar for the image in this row."""
        return self._locate(position)[1]

    def _locate(self, position: int) -> tuple[Sidecar, SidecarRow]:
        shard, number = self._places[position]
        sidecar = self.sidecars[shard]
        return sidecar, sidecar.samples[number]

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        return list(zip(self.rows["shard"].tolist(), self.rows["row"].tolist(), strict=True))

    def __str__(self) -> str:
        return str(self.storage)


def _table(sidecars: Sequence[Sidecar]) -> pd.DataFrame:
    columns = [name for name in SidecarRow.model_fields if name not in ("members", "record_sha256")]
    data: dict[str, list[Any]] = {"class" if name == "label" else name: [] for name in columns}
    data |= {"shard": [], "row": []}
    for shard, sidecar in enumerate(sidecars):
        for name in columns:
            data["class" if name == "label" else name] += [getattr(row, name) for row in sidecar.samples]
        data["shard"] += [shard] * sidecar.n
        data["row"] += range(sidecar.n)
    numbers = ("offset", "bytes", "shard", "row")
    return pd.DataFrame({k: pd.Series(v, dtype="int64" if k in numbers else object) for k, v in data.items()})
