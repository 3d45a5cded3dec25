"""Image sets as tensors: decoded in threads ahead of their use, and once only where they fit into memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Self, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dermforge.common.errors import UserError
from shards.format.reader import ImageSet

J = TypeVar("J")
T = TypeVar("T")

#: Decoded images of a set up to this size are kept in memory.
KEEP_BYTES = 1 << 30
THREADS = min(4, os.cpu_count() or 1)


class TensorSet(ImageSet):
    """The images of one or several sets as tensors, or features in their place.

    The digest of each shard is checked before its first image is used. Views (`take`, `where`) share what has been
    decoded.

    Parameters
    ----------
    sets
        Their tables follow one another in `rows`.
    size
        Side in pixels to which the centre square of each image is resized; such images are kept in memory where all
        fit. None: images as they are stored, which must have one size, read again each time.
    classes
        Names for all sets; None: those of the first.
    """

    def __init__(
        self, sets: Sequence[ImageSet], size: int | None = None, *, classes: Sequence[str] | None = None
    ) -> None:
        rows = sets[0].rows if len(sets) == 1 else pd.concat([s.rows for s in sets], ignore_index=True)
        super().__init__(rows, sets[0].classes if classes is None else classes)
        self.sets, self.size = tuple(sets), size
        self._starts = np.cumsum([0, *(s.n for s in sets)])
        self._at = np.arange(self.n)  # of each row in all sets; those of a view are fewer
        fits = size is not None and self.n * 3 * size * size <= KEEP_BYTES
        self._values = torch.empty(self.n, 3, size, size, dtype=torch.uint8) if fits and size else None
        self._known = np.zeros(self.n, dtype=bool)

    def with_values(self, values: Tensor) -> Self:
        """The same rows with `values` [n, ...], such as features [n, d], in place of the pixels."""
        view = self.take(np.arange(self.n))
        view._values, view._known, view._at = values, np.ones(self.n, dtype=bool), np.arange(self.n)
        return view

    @property
    def holds_features(self) -> bool:
        return self._values is not None and self._values.ndim == 2

    def take(self, positions: NDArray[np.intp] | Sequence[int]) -> Self:
        view = super().take(positions)
        view._at = self._at[np.asarray(positions, dtype=np.intp)]
        return view

    def __str__(self) -> str:
        return ", ".join(map(str, self.sets))

    def start(self, positions: NDArray[np.int64], pool: Executor) -> Callable[[], Tensor]:
        """Begin to decode these rows in `pool`; the function returned waits for them: uint8 [n, 3, h, w]."""
        at, values = self._at[positions], self._values
        if values is None:
            images = [pool.submit(self._decode, int(one)) for one in at]
            return lambda: joined([image.result() for image in images])
        missing = [pool.submit(self._keep, int(one)) for one in at[~self._known[at]]]

        def finish() -> Tensor:
            for one in missing:
                one.result()
            return values.index_select(0, torch.from_numpy(at))  # ten times as fast as values[at]

        return finish

    def batches(self, size: int) -> Iterator[Tensor]:
        """All rows in stored order, `size` at a time; the last batch may be smaller."""
        return ahead((np.arange(i, min(i + size, self.n)) for i in range(0, self.n, size)), self.start)

    def _decode(self, at: int) -> Tensor:
        number = int(np.searchsorted(self._starts, at, side="right")) - 1
        images, row = self.sets[number], at - int(self._starts[number])
        images.check_shard(row)
        _, pixels = images.image_at(row, verify=False)
        return torch.from_numpy(np.array(square(pixels, self.size))).permute(2, 0, 1)[None]

    def _keep(self, at: int) -> None:
        assert self._values is not None
        self._values[at] = self._decode(at)[0]
        self._known[at] = True


def square(image: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """Centre square of an image uint8 [h, w, 3], resized with antialiasing to [size, size, 3]; None: the image."""
    height, width = image.shape[:2]
    if size is None or height == width == size:
        return image
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = image[top : top + side, left : left + side]
    if side == size:
        return cut
    return np.asarray(Image.fromarray(cut).resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0))


def ahead(jobs: Iterable[J], start: Callable[[J, Executor], Callable[[], T]], steps: int = 2) -> Iterator[T]:
    """What each job gives, in order; `steps` further jobs are under way in threads meanwhile."""
    pool = ThreadPoolExecutor(THREADS)
    waiting: deque[Callable[[], T]] = deque()
    try:
        for job in jobs:
            waiting.append(start(job, pool))
            if len(waiting) > steps:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()
    finally:
        pool.shutdown(cancel_futures=True)


def joined(images: Sequence[Tensor]) -> Tensor:
    """Images uint8 [n, 3, h, w], one tensor after the other.

    Raises
    ------
    UserError
        They are of several sizes.
    """
    if len(sizes := {tuple(part.shape[2:]) for part in images}) > 1:
        (h, w), (height, width) = sorted(sizes)[:2]
        raise UserError(f"images of {w} x {h} and of {width} x {height} pixels in one batch; give a `size` for all")
    return torch.cat(list(images))
