"""The images of a run as a table: decoded once into memory where they fit, read by offset where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dermforge.common.errors import UserError
from shards.mixing import sampling_order

#: Decoded images up to this size are kept in memory.
CACHE_BYTES = 1 << 30


class Rows(Protocol):
    """Images uint8 [n, 3, h, w] or features float32 [n, d], by row number."""

    def __getitem__(self, rows: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Pool:
    """Rows with what is known of them.

    Attributes
    ----------
    x
        Images or features.
    labels
        Index into `classes`, int64 [n].
    synthetic
        Whether a row is generated, bool [n].
    groups
        Skin type and other columns to group by, as text, [n, g].
    clusters
        Patient or duplicate family; the id where a row stands alone.
    parents
        Id of the real image a synthetic one was made from, "" where none.
    """

    x: Rows
    ids: NDArray[np.str_]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    synthetic: NDArray[np.bool_]
    groups: pd.DataFrame
    clusters: NDArray[np.str_]
    parents: NDArray[np.str_]
    origins: NDArray[np.str_]
    strategies: NDArray[np.str_]

    @property
    def n(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Pool:
        """The same images, fewer or in another order; nothing is read or copied but the small columns."""
        where = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return replace(
            self,
            x=_Taken.of(self.x, where),
            ids=self.ids[where],
            labels=self.labels[where],
            synthetic=self.synthetic[where],
            groups=self.groups.iloc[where].reset_index(drop=True),
            clusters=self.clusters[where],
            parents=self.parents[where],
            origins=self.origins[where],
            strategies=self.strategies[where],
        )


@dataclass(frozen=True)
class _Taken:
    base: Rows
    rows: Tensor

    @classmethod
    def of(cls, x: Rows, where: NDArray[np.int64]) -> _Taken:
        index = torch.from_numpy(np.ascontiguousarray(where))
        return cls(x.base, x.rows[index]) if isinstance(x, _Taken) else cls(x, index)

    def __getitem__(self, rows: Tensor) -> Tensor:
        return self.base[self.rows[rows]]


def join(parts: Sequence[Pool]) -> Pool:
    """One pool after the other, classes as in the first."""
    first = parts[0]
    return Pool(
        _Joined(tuple(p.x for p in parts), np.cumsum([0, *(p.n for p in parts)])),
        np.concatenate([p.ids for p in parts]),
        first.classes,
        np.concatenate([p.labels for p in parts]),
        np.concatenate([p.synthetic for p in parts]),
        pd.concat([p.groups for p in parts], ignore_index=True).fillna("unknown"),
        np.concatenate([p.clusters for p in parts]),
        np.concatenate([p.parents for p in parts]),
        np.concatenate([p.origins for p in parts]),
        np.concatenate([p.strategies for p in parts]),
    )


@dataclass(frozen=True)
class _Joined:
    parts: tuple[Rows, ...]
    edges: NDArray[np.int64]

    def __getitem__(self, rows: Tensor) -> Tensor:
        which = torch.from_numpy(np.searchsorted(self.edges, rows.numpy(), side="right") - 1)
        found: list[tuple[Tensor, Tensor]] = []
        for part, x in enumerate(self.parts):
            here = torch.nonzero(which == part).squeeze(1)
            if len(here):
                found.append((here, x[rows[here] - int(self.edges[part])]))
        values = torch.cat([v for _, v in found])
        return values[torch.argsort(torch.cat([w for w, _ in found]))]


def square(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Centre square of an image uint8 [h, w, 3], resized with antialiasing to [size, size, 3]."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = image[top : top + side, left : left + side]
    if side == size:
        return cut
    return np.asarray(Image.fromarray(cut).resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0))


def few_per_class(pool: Pool, per_class: int, seed: int) -> Pool:
    """At most this many rows of each class, as `shards.mixing.sampling_order.few_per_class` chooses them."""
    rows = pd.DataFrame({"id": pool.ids, "class": np.array(pool.classes)[pool.labels], "group": pool.groups["group"]})
    return pool.take(sampling_order.few_per_class(rows, per_class, seed))


def with_parents_among(synthetic: Pool, real: Pool) -> Pool:
    """Synthetic images that need no real image beside these."""
    known = np.isin(synthetic.parents, np.append(real.ids, ""))
    if not known.any():
        raise UserError(
            "no synthetic image is left: every one was made from a real image that is not in this arm; "
            "generate from the arm's own images, or use text-to-image samples"
        )
    return synthetic.take(known)


def check_classes(classes: Iterable[str], expected: Sequence[str], source: str) -> None:
    unknown = sorted(set(classes) - set(expected))
    if unknown:
        raise UserError(
            f"{source} has the unknown classes {', '.join(unknown)}; "
            f"the real training images have {', '.join(expected)}"
        )
