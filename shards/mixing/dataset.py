"""Streams of several sources, mixed exactly: the same global order for any number of ranks and workers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from dermforge.common.errors import UserError
from shards.format.reader import ImageSet
from shards.mixing.sampling_order import Draws, apportion, generator, steps_for_pass

Transform = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Source:
    """One part of a mixture.

    Attributes
    ----------
    weight
        Share of every global batch, relative to the other sources'.
    balance
        Draw every class, or every cell of class x group, equally often; small ones are repeated.
    window
        Shuffle among this many shards at a time, so that a bounded cache suffices; None shuffles over all.
    """

    images: ImageSet
    weight: float = 1.0
    name: str = ""
    balance: Literal["class", "cell"] | None = None
    window: int | None = None


class Item(NamedTuple):
    """What a stream yields; torch's default collation makes batches of it.

    Attributes
    ----------
    image
        uint8 [3, H, W], or what the transform made of it.
    label
        Position of the class in the stream's `classes`.
    source
        Position of the source.
    valid
        False for the copies that pad the last batch of an `ExactPass`.
    """

    image: torch.Tensor
    label: int
    id: str
    source: int
    valid: bool


class MixedStream(IterableDataset[Item]):
    """Sources mixed by largest remainder in every global batch, without end to the number of passes.

    Step k of epoch e is a pure function of (sources, global_batch, seed): ranks take consecutive slices of its
    shuffled batch, loader workers take steps in turn. So the order is the same for any world size and any
    number of workers, and all ranks make equally many steps. Each source is drawn without replacement, pass
    after pass, going on over the ends of epochs: no image is seen twice more often than another.

    Parameters
    ----------
    sources
        Their classes must agree; labels are positions in `classes`.
    global_batch
        Images per step over all ranks; a multiple of `world_size`.
    steps
        Steps per epoch. None makes one pass over the anchor an epoch.
    anchor
        Position of the source whose pass is an epoch; None takes the first without synthetic images.
    transform
        Applied to each image, uint8 [3, H, W]; its draws from torch's generator are seeded by place, so
        they do not depend on the number of workers either.
    verify
        Check the digest of each image as it is read.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        global_batch: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        steps: int | None = None,
        anchor: int | None = None,
        transform: Transform | None = None,
        verify: bool = True,
    ) -> None:
        super().__init__()
        _check_ranks(global_batch, rank, world_size)
        _check_numbers(seed, steps, anchor, len(sources))
        self.sources, self.classes = list(sources), _common_classes(sources)
        self.global_batch, self.seed, self.epoch, self.step = global_batch, seed, epoch, 0
        self.rank, self.world_size = rank, world_size
        self.transform, self.verify = transform, verify
        self.anchor = _anchor(sources) if anchor is None else anchor
        weights = [source.weight for source in sources]
        self.steps = steps or steps_for_pass(self.sources[self.anchor].images.n, global_batch, weights, self.anchor)
        self.counts = apportion(global_batch, weights, self.steps)
        self.drawn_before = np.vstack([np.zeros(len(sources), np.int64), self.counts.cumsum(axis=0)])
        if empty := [source for source in sources if not source.images.n]:
            raise UserError(f"the source {empty[0].name!r} ({empty[0].images}) has no images; loosen its filter")
        self.draws = [
            Draws(source.images.rows, (seed, number), source.balance, source.window)
            for number, source in enumerate(sources)
        ]

    @property
    def batch(self) -> int:
        """Images per step on this rank."""
        return self.global_batch // self.world_size

    def __len__(self) -> int:
        """Images per epoch on this rank."""
        return self.steps * self.batch

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch."""
        self.epoch, self.step = epoch, 0

    def global_order(self, epoch: int, step: int) -> list[tuple[int, int]]:
        """(source, row) of every image of one global batch, in order."""
        per_epoch = self.drawn_before[-1]
        batch: list[tuple[int, int]] = []
        for number, draws in enumerate(self.draws):
            start = int(epoch * per_epoch[number] + self.drawn_before[step][number])
            batch += [(number, draws[start + i]) for i in range(int(self.counts[step][number]))]
        order = generator(self.seed, epoch, step, 0x6D6978).permutation(len(batch))
        return [batch[i] for i in order]

    def __iter__(self) -> Iterator[Item]:
        info = get_worker_info()
        first, stride = (info.id, info.num_workers) if info else (0, 1)
        for step in range(self.step + first, self.steps, stride):
            order = self.global_order(self.epoch, step)
            start = self.rank * self.batch
            for slot in range(start, start + self.batch):
                source, row = order[slot]
                yield self._item(source, row, (self.seed, self.epoch, step, slot))

    def batches(self, workers: int = 0, **loader: Any) -> Iterator[Item]:
        """The rest of this epoch as collated batches; `state_dict` between two of them resumes after the first.

        Parameters
        ----------
        workers
            Loader processes; the order does not depend on them.
        loader
            Other options of torch's `DataLoader`: pin_memory, prefetch_factor.
        """
        start = self.step
        for number, batch in enumerate(DataLoader(self, self.batch, num_workers=workers, **loader)):
            self.step = start + number + 1
            yield batch
        self.epoch, self.step = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, and of what; JSON."""
        return {"epoch": self.epoch, "step": self.step, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a stream of the same sources, seed and global batch stood, on any number of ranks.

        Raises
        ------
        UserError
            The state is of another stream; names the difference.
        """
        for key, value in self._identity().items():
            if state.get(key) != value:
                raise UserError(
                    f"the saved state has {key} {state.get(key)!r}, this stream {value!r}; resume with "
                    "the same sources, seed, steps and global batch, or start anew"
                )
        self.epoch, self.step = int(state["epoch"]), int(state["step"])

    def report(self) -> pd.DataFrame:
        """What an epoch draws from each source: images, share, target share, passes over each image."""
        weights = np.array([source.weight for source in self.sources])
        drawn, n = self.drawn_before[-1], np.array([source.images.n for source in self.sources])
        return pd.DataFrame(
            {
                "source": [source.name or str(number) for number, source in enumerate(self.sources)],
                "n": n,
                "drawn": drawn,
                "share": drawn / drawn.sum(),
                "target": weights / weights.sum(),
                "repeats": drawn / n,
                "most_repeats": [draws.most_repeats(int(d)) for draws, d in zip(self.draws, drawn, strict=True)],
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

    def _item(self, source: int, row: int, place: tuple[int, ...]) -> Item:
        images = self.sources[source].images
        sample, pixels = images.image_at(row, self.verify)
        image = _transformed(pixels, self.transform, place)
        return Item(image, self.classes.index(sample.label), sample.id, source, True)


class ExactPass(IterableDataset[Item]):
    """Every image exactly once over all ranks, in stored order, for validation and test.

    The last batch is padded with copies of the last image, `valid` False, so that all ranks make equally many
    steps of equal size.
    """

    def __init__(
        self,
        images: ImageSet,
        global_batch: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        transform: Transform | None = None,
        verify: bool = True,
    ) -> None:
        super().__init__()
        _check_ranks(global_batch, rank, world_size)
        if not images.n:
            raise UserError(f"there are no images in {images} to go through")
        self.images, self.classes, self.global_batch = images, images.classes, global_batch
        self.rank, self.world_size, self.transform, self.verify = rank, world_size, transform, verify
        self.steps = math.ceil(images.n / global_batch)

    @property
    def batch(self) -> int:
        """Images per step on this rank."""
        return self.global_batch // self.world_size

    def __len__(self) -> int:
        return self.steps * self.batch

    def __iter__(self) -> Iterator[Item]:
        info = get_worker_info()
        first, stride = (info.id, info.num_workers) if info else (0, 1)
        for step in range(first, self.steps, stride):
            start = step * self.global_batch + self.rank * self.batch
            for slot in range(start, start + self.batch):
                row = min(slot, self.images.n - 1)
                sample, pixels = self.images.image_at(row, self.verify)
                image = _transformed(pixels, self.transform, (0, slot))
                yield Item(image, self.classes.index(sample.label), sample.id, 0, slot < self.images.n)

    def batches(self, workers: int = 0, **loader: Any) -> Iterator[Item]:
        """Collated batches; options as `MixedStream.batches`."""
        yield from DataLoader(self, self.batch, num_workers=workers, **loader)


def _transformed(pixels: NDArray[np.uint8], transform: Transform | None, place: tuple[int, ...]) -> torch.Tensor:
    image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous()
    if transform is None:
        return image
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1))
        return transform(image)


def _anchor(sources: Sequence[Source]) -> int:
    real = [i for i, source in enumerate(sources) if not (source.images.rows["origin"] == "synthetic").any()]
    return real[0] if real else 0


def _common_classes(sources: Sequence[Source]) -> list[str]:
    if not sources:
        raise UserError("a stream of no sources; give at least one")
    first = sources[0].images
    for source in sources[1:]:
        if strangers := set(source.images.rows["class"]) - set(first.classes):
            raise UserError(
                f"{source.images} has the classes {', '.join(sorted(strangers))}, which {first} does "
                "not know; use the same names in both, or select the classes that they share"
            )
    return first.classes


def _check_ranks(global_batch: int, rank: int, world_size: int) -> None:
    if global_batch < 1 or global_batch % world_size:
        raise UserError(
            f"a global batch of {global_batch} on {world_size} ranks; expected a multiple of "
            f"{world_size}, so that all ranks get the same share"
        )
    if not 0 <= rank < world_size:
        raise UserError(f"rank {rank} of {world_size}; expected 0 to {world_size - 1}")


def _check_numbers(seed: int, steps: int | None, anchor: int | None, sources: int) -> None:
    if seed < 0:
        raise UserError(f"seed {seed}; expected 0 or more")
    if steps is not None and steps < 1:
        raise UserError(f"{steps} steps an epoch; expected 1 or more, or None for one pass over the anchor")
    if anchor is not None and not 0 <= anchor < sources:
        raise UserError(f"anchor {anchor} of {sources} sources; expected 0 to {sources - 1}")
