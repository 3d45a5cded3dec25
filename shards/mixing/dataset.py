"""The dataset of training: several sources mixed in an exact ratio, in the same order for any number of ranks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from dermforge.common.errors import UserError
from shards.format.reader import ImageSet
from shards.mixing.sampling_order import Draws, apportion, generator, steps_for_pass
from shards.mixing.tensors import TensorSet, ahead, joined

Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Source:
    """One part of a mixture.

    Attributes
    ----------
    images
        Shards or a folder of images; a `TensorSet` shares its decoded images with other users.
    weight
        Share of every global batch, relative to the other sources'.
    balance
        Draw every class, or every cell of class x group, equally often; images of small ones are repeated.
    window
        Shuffle among this many shards at a time, so that a bounded cache suffices; None shuffles over all.
    """

    images: ImageSet
    weight: float = 1.0
    name: str = ""
    balance: Literal["class", "cell"] | None = None
    window: int | None = None


class Batch(NamedTuple):
    """One rank's part of a global batch.

    Attributes
    ----------
    images
        uint8 [n, 3, h, w], or what the transform made of them.
    labels
        Positions of the classes in the stream's `classes`, int64 [n].
    sources
        Position of each image's source, int64 [n].
    """

    images: Tensor
    labels: Tensor
    ids: list[str]
    sources: Tensor


class MixedStream(IterableDataset[Batch]):
    """Batches of several sources, mixed by largest remainder in every global batch.

    Step k of epoch e is a pure function of (sources, global_batch, seed), so the order of images does not depend on
    the number of ranks. Each rank gets an even share of every source, and all ranks make equally many steps. Each
    source is drawn without replacement, pass after pass, also over the ends of epochs, so that no image is drawn two
    times more than another.

    Iterating yields the rest of an epoch; iterating again yields the next epoch. Images are decoded ahead in threads. A
    `DataLoader` with `batch_size=None` may wrap the stream. Its worker processes take steps in turn and do not move the
    stream of the main process: there `set_epoch` sets the position.

    Parameters
    ----------
    sources
        Their classes must agree; labels are positions in `classes`.
    global_batch
        Images per step over all ranks; a multiple of `world_size`.
    steps
        Steps per epoch. None: one pass over the first source without synthetic images.
    size
        Side in pixels to which the centre square of each image is resized. None: images as they are stored.
    transform
        Applied to each image, uint8 [3, h, w]; its draws from torch's generator are seeded by epoch, step and place.
    prefetch
        Steps that are decoded ahead.

    Raises
    ------
    UserError
        A source is empty or has other classes, or a number is out of range.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        global_batch: int,
        *,
        seed: int = 0,
        steps: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        size: int | None = None,
        transform: Transform | None = None,
        prefetch: int = 2,
    ) -> None:
        super().__init__()
        _check_numbers(global_batch, seed, steps, rank, world_size)
        self.sources, self.classes = list(sources), _common_classes(sources)
        self.global_batch, self.seed, self.epoch, self.step = global_batch, seed, 0, 0
        self.rank, self.world_size, self.transform, self.prefetch = rank, world_size, transform, prefetch
        weights = [source.weight for source in sources]
        anchor = _anchor(sources)
        self.steps = steps or steps_for_pass(sources[anchor].images.n, global_batch, weights, anchor)
        self.counts = apportion(global_batch, weights, self.steps)
        self._drawn_before = np.vstack([np.zeros(len(sources), np.int64), self.counts.cumsum(axis=0)])
        self._draws = [Draws(s.images.rows, (seed, number), s.balance, s.window) for number, s in enumerate(sources)]
        images = [source.images for source in sources]
        self._tensors = [one if isinstance(one, TensorSet) else TensorSet([one], size) for one in images]
        number = {label: i for i, label in enumerate(self.classes)}
        self._labels = [np.array([number[label] for label in one.rows["class"]], dtype=np.int64) for one in images]
        self._ids = [one.rows["id"].to_numpy() for one in images]

    def __len__(self) -> int:
        """Steps per epoch."""
        return self.steps

    def set_epoch(self, epoch: int, step: int = 0) -> None:
        """Go to a step of an epoch; the next iteration begins there."""
        self.epoch, self.step = epoch, step

    def global_order(self, epoch: int, step: int) -> NDArray[np.int64]:
        """Source and row of every image of one global batch, in order, [global_batch, 2]."""
        starts = epoch * self._drawn_before[-1] + self._drawn_before[step]
        counts = self.counts[step]
        rows = [draws.take(int(i), int(n)) for draws, i, n in zip(self._draws, starts, counts, strict=True)]
        batch = np.stack([np.repeat(np.arange(len(counts)), counts), np.concatenate(rows)], axis=1)
        return batch[generator(self.seed, epoch, step, 0x6D6978).permutation(len(batch))]

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        first, stride = (info.id, info.num_workers) if info else (0, 1)
        steps = [(self.epoch, step) for step in range(self.step + first, self.steps, stride)]
        for (epoch, step), batch in zip(steps, ahead(steps, self._start, self.prefetch), strict=True):
            self.epoch, self.step = divmod(epoch * self.steps + step + 1, self.steps)
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch taken, and what identifies the stream; JSON."""
        return {"epoch": self.epoch, "step": self.step, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where a stream of the same sources, seed and global batch stopped, on any number of ranks.

        Raises
        ------
        UserError
            The state is of another stream; names the difference.
        """
        for key, value in self._identity().items():
            if state.get(key) != value:
                raise UserError(
                    f"the saved state has {key} {state.get(key)!r}, this stream {value!r}; resume with the same "
                    "sources, seed, steps and global batch, or begin again"
                )
        self.set_epoch(int(state["epoch"]), int(state["step"]))

    def report(self) -> pd.DataFrame:
        """What an epoch draws from each source: images, share, target share, passes over each image."""
        weights = np.array([source.weight for source in self.sources])
        drawn, n = self._drawn_before[-1], np.array([source.images.n for source in self.sources])
        return pd.DataFrame(
            {
                "source": [source.name or str(number) for number, source in enumerate(self.sources)],
                "n": n,
                "drawn": drawn,
                "share": drawn / drawn.sum(),
                "target": weights / weights.sum(),
                "repeats": drawn / n,
                "most_repeats": [draws.most_repeats(int(d)) for draws, d in zip(self._draws, drawn, strict=True)],
            }
        )

    def _identity(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for source in self.sources:
            digest.update(f"{source.weight} {source.balance} {source.window} {source.images.n}\n".encode())
            digest.update("\n".join(source.images.rows["id"]).encode())
        return {
            "seed": self.seed,
            "global_batch": self.global_batch,
            "steps": self.steps,
            "sources": digest.hexdigest(),
        }

    def _start(self, place: tuple[int, int], pool: Executor) -> Callable[[], Batch]:
        """Begin to decode this rank's part of a step."""
        order = self.global_order(*place)
        slots = np.sort(np.argsort(order[:, 0], kind="stable")[self.rank :: self.world_size])
        sources, rows = order[slots].T
        parts = [np.flatnonzero(sources == number) for number in range(len(self.sources))]
        waiting = [t.start(rows[part], pool) for t, part in zip(self._tensors, parts, strict=True)]

        def finish() -> Batch:
            back = np.argsort(np.concatenate(parts))
            images = joined([one() for one, part in zip(waiting, parts, strict=True) if len(part)])
            if len(parts) > 1:
                images = images.index_select(0, torch.from_numpy(back))
            if self.transform:
                images = torch.stack(
                    [self._transformed(x, (*place, int(s))) for x, s in zip(images, slots, strict=True)]
                )
            labels, ids = (
                np.concatenate([one[rows[part]] for one, part in zip(known, parts, strict=True)])[back]
                for known in (self._labels, self._ids)
            )
            return Batch(images, torch.from_numpy(labels), ids.tolist(), torch.from_numpy(sources.copy()))

        return finish

    def _transformed(self, image: Tensor, place: tuple[int, ...]) -> Tensor:
        assert self.transform is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.SeedSequence((self.seed, *place)).generate_state(1, np.uint64)[0] >> 1))
            return self.transform(image)


def _anchor(sources: Sequence[Source]) -> int:
    real = [i for i, source in enumerate(sources) if not (source.images.rows["origin"] == "synthetic").any()]
    return real[0] if real else 0


def _common_classes(sources: Sequence[Source]) -> list[str]:
    if not sources:
        raise UserError("a stream of no sources; give at least one")
    first = sources[0].images
    for source in sources:
        if not source.images.n:
            raise UserError(f"the source {source.name!r} ({source.images}) has no images; loosen its filter")
        if strangers := set(source.images.rows["class"]) - set(first.classes):
            raise UserError(
                f"{source.images} has the classes {', '.join(sorted(strangers))}, which {first} does "
                "not know; use the same names in both, or select the classes that they share"
            )
    return first.classes


def _check_numbers(global_batch: int, seed: int, steps: int | None, rank: int, world_size: int) -> None:
    if global_batch < 1 or global_batch % world_size:
        raise UserError(
            f"a global batch of {global_batch} on {world_size} ranks; expected a multiple of "
            f"{world_size}, so that all ranks get the same share"
        )
    if not 0 <= rank < world_size:
        raise UserError(f"rank {rank} of {world_size}; expected 0 to {world_size - 1}")
    if seed < 0:
        raise UserError(f"seed {seed}; expected 0 or more")
    if steps is not None and steps < 1:
        raise UserError(f"{steps} steps an epoch; expected 1 or more, or None for one pass over the real images")
