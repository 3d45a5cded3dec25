"""Mixing: exact, the same for any number of ranks and workers, resumable after any step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from shards import Batch, CheckFailed, MixedStream, ShardSet, Source, UserError

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def sources(make_shards: Make) -> list[Source]:
    real = ShardSet.open(make_shards(13, prefix="r", origin="real"))
    synthetic = ShardSet.open(make_shards(31, prefix="g", origin="synthetic"))
    return [Source(real, 1, "real"), Source(synthetic, 2.5, "synthetic")]


def order(stream: MixedStream) -> list[list[str]]:
    return [batch.ids for batch in stream]


def together(ranks: list[list[list[str]]]) -> list[list[str]]:
    """The images of each step over all ranks, sorted."""
    return [sorted(chain(*parts)) for parts in zip(*ranks, strict=True)]


def test_a_batch_holds_what_its_images_are(sources: list[Source]) -> None:
    """Pixels, labels, ids and sources belong together, whatever order they were decoded in."""
    stream = MixedStream(sources, 6)
    seen = 0
    for batch in stream:
        for image, label, name, source in zip(*batch, strict=True):
            data = sources[source].images
            sample, pixels = data.image_at(data.position(name))
            assert torch.equal(image, torch.from_numpy(pixels.copy()).permute(2, 0, 1))
            assert stream.classes[label] == sample.label
            assert name[0] == "rg"[source]
            seen += 1
    assert seen == len(stream) * 6


def test_images_are_brought_to_one_size(sources: list[Source], make_shards: Make) -> None:
    larger = Source(ShardSet.open(make_shards(6, prefix="l", size=20)))
    assert {tuple(batch.images.shape) for batch in MixedStream([sources[0], larger], 4, size=8)} == {(4, 3, 8, 8)}
    with pytest.raises(UserError, match="images of 12 x 12 and of 20 x 20 pixels in one batch; give a `size`"):
        list(MixedStream([sources[0], larger], 4))


def test_a_damaged_shard_is_named_before_its_first_image(make_shards: Make) -> None:
    """The digest of a shard is compared with its sidecar's at first use, once."""
    folder = make_shards(8, shard_size=4)
    stream = MixedStream([Source(ShardSet.open(folder))], 4)
    path = sorted(folder.glob("*.tar"))[1]
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1  # beyond the last sample: no image shows it
    path.write_bytes(damaged)
    with pytest.raises(CheckFailed, match=rf"{path.name} has the sha256 \w+, its sidecar says \w+; write the shard"):
        list(stream)


@settings(max_examples=30, deadline=None)
@given(
    share=st.integers(1, 4),
    world=st.integers(1, 4),
    ratio=st.sampled_from([0.1, 0.5, 1.0, 2.5, 10.0]),
    seed=st.integers(0, 9),
    stop=st.integers(0, 12),
)
def test_ranks_ratio_and_resume(
    sources: list[Source], share: int, world: int, ratio: float, seed: int, stop: int
) -> None:
    """For any batch, ranks, ratio and place to stop: exact shares, the same global batches, and the same rest."""
    mixed = [Source(sources[0].images, 1), Source(sources[1].images, ratio)]

    def stream(rank: int = 0, size: int = 1) -> MixedStream:
        return MixedStream(mixed, share * world, seed=seed, steps=5, rank=rank, world_size=size)

    drawn = [list(stream(rank, world)) for rank in range(world)]
    whole = order(stream())
    assert together([[b.ids for b in batches] for batches in drawn]) == [sorted(ids) for ids in whole]
    target = share * world * ratio / (1 + ratio)
    synthetic = np.array([[int(batch.sources.sum()) for batch in batches] for batches in drawn])
    assert (np.abs(synthetic.sum(0).cumsum() - target * np.arange(1, 6)) < 1).all()  # every prefix, to one image
    assert (np.ptp(synthetic, axis=0) <= 1).all()  # no rank is without images of a source that others have

    first = stream()
    epochs = [ids for _ in range(3) for ids in order(first)]
    first.set_epoch(0)
    taken = 0
    while taken < stop:
        for _ in first:
            taken += 1
            if taken == stop:
                break
    rests = []
    for rank in range(world):
        resumed = stream(rank, world)
        resumed.load_state_dict(first.state_dict())
        rest: list[list[str]] = []
        while len(rest) < len(epochs) - stop:
            rest += order(resumed)
        rests.append(rest)
    assert together(rests) == [sorted(ids) for ids in epochs[stop:]]
    if world == 1:
        assert rests[0] == epochs[stop:]


def test_realised_ratio_is_the_reported_one(sources: list[Source]) -> None:
    """What comes out of the stream is counted: the report's numbers, within one image of the target."""
    stream = MixedStream(sources, 6, seed=5)
    drawn = Counter(int(i) for batch in stream for i in batch.sources)
    report = stream.report()
    assert [drawn[0], drawn[1]] == report["drawn"].tolist()
    assert (np.abs(report["drawn"] - report["target"] * len(stream) * 6) < 1).all()
    assert report["repeats"].tolist() == [drawn[0] / 13, drawn[1] / 31]


def test_order_does_not_depend_on_workers_or_prefetch(sources: list[Source]) -> None:
    """Nor do the draws of a random transform."""

    def noisy(image: torch.Tensor) -> torch.Tensor:
        return torch.rand(1)

    one = list(MixedStream(sources, 6, seed=1, transform=noisy, prefetch=0))
    loader = DataLoader(MixedStream(sources, 6, seed=1, transform=noisy), batch_size=None, num_workers=2)
    two: list[Batch] = list(loader)
    assert [b.ids for b in one] == [b.ids for b in two]
    assert all(torch.equal(a.images, b.images) for a, b in zip(one, two, strict=True))
    assert len({float(x) for b in one for x in b.images}) == len(one) * 6


def test_epoch_is_one_pass_over_the_real_images(sources: list[Source]) -> None:
    """Over many epochs no real image is seen more than once more often than another."""
    stream = MixedStream(sources[::-1], 7, seed=3)
    seen = Counter(i for _ in range(4) for ids in order(stream) for i in ids if i.startswith("r"))
    assert len(seen) == 13
    assert max(seen.values()) - min(seen.values()) <= 1
    assert stream.steps == -(-13 * 3.5 // 7)
    assert len(order(MixedStream(sources, 7, steps=3))) == 3


def test_epochs_and_seeds_differ(sources: list[Source]) -> None:
    stream = MixedStream(sources, 7, seed=3)
    first = order(stream)
    assert order(stream) != first
    assert order(MixedStream(sources, 7, seed=4)) != first
    stream.set_epoch(0, step=2)
    assert order(stream) == first[2:]


def test_state_of_another_stream_is_refused(sources: list[Source]) -> None:
    with pytest.raises(UserError, match="has seed 1, this stream 2"):
        MixedStream(sources, 6, seed=2).load_state_dict(MixedStream(sources, 6, seed=1).state_dict())


def test_balanced_streams(make_shards: Make) -> None:
    """Cells come equally often however unequal they are; repeats are reported."""
    data = ShardSet.open(make_shards(40)).where(ids=[f"s-{i:04d}" for i in range(40) if i % 4 or i < 8])
    stream = MixedStream([Source(data, balance="cell")], 8, steps=10)
    cells = dict(zip(data.rows["id"], data.rows["class"] + data.rows["group"], strict=True))
    assert set(Counter(cells[i] for ids in order(stream) for i in ids).values()) == {20}
    assert stream.report()["most_repeats"].iloc[0] == 10


def test_windows_bound_the_shards_in_use(make_shards: Make) -> None:
    """A windowed shuffle visits few shards at a time, and still every image once a pass."""
    data = ShardSet.open(make_shards(40, shard_size=5))
    ids = order(MixedStream([Source(data, window=2)], 10))
    assert sorted(chain(*ids)) == list(data.rows["id"])
    shard = dict(zip(data.rows["id"], data.rows["shard"], strict=True))
    assert all(len({shard[i] for i in batch}) == 2 for batch in ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world_size": 4}, "multiple of 4"),
        ({"rank": 2, "world_size": 2}, "rank 2 of 2"),
        ({"steps": 0}, "0 steps"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_wrong_numbers_are_refused(sources: list[Source], options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MixedStream(sources, 6, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [{"weight": 0}, {"weight": float("nan")}, {"balance": "klass"}, {"window": 0}])
def test_wrong_sources_are_refused(sources: list[Source], source: dict[str, object]) -> None:
    with pytest.raises(UserError, match="expected"):
        MixedStream([Source(sources[0].images, **source)], 6)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="has no images"):
        MixedStream([Source(sources[0].images.where(cls="none"))], 6, steps=1)
