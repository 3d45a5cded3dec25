"""Mixing: exact, the same for any ranks and workers, resumable anywhere."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shards import ExactPass, MixedStream, ShardSet, Source, UserError
from shards.mixing.sampling_order import apportion, few_per_class

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def sources(make_shards: Make) -> list[Source]:
    real = ShardSet.open(make_shards(13, prefix="r", origin="real"))
    synthetic = ShardSet.open(make_shards(31, prefix="g", origin="synthetic"))
    return [Source(real, 1, "real"), Source(synthetic, 2.5, "synthetic")]


def order(stream: MixedStream, workers: int = 0) -> list[tuple[str, ...]]:
    return [tuple(batch.id) for batch in stream.batches(workers)]


@given(st.integers(1, 64), st.lists(st.integers(1, 1000), min_size=1, max_size=8))
@example(36, [1, 90, 941, 1000, 3, 986, 1, 1])  # by largest remainder alone, a total is off by 1.07
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_shares_are_exact_to_one_sample(batch: int, weights: list[int]) -> None:
    """Every batch is full and within one of each share; so is every total from the start."""
    counts = apportion(batch, weights, 120)
    share = batch * np.array(weights) / sum(weights)
    assert (counts.sum(axis=1) == batch).all()
    assert (np.abs(counts - share) < 1 + 1e-9).all()
    assert (np.abs(counts.cumsum(axis=0) - share * np.arange(1, 121)[:, None]) < 1 + 1e-9).all()


def test_two_sources_are_rounded_to_the_nearest() -> None:
    """Real and synthetic 1:10 in batches of 256: never more than half an image from the share, in any prefix."""
    counts = apportion(256, [1, 10], 1000)
    assert np.abs(counts[:, 0].cumsum() - 256 / 11 * np.arange(1, 1001)).max() <= 0.5
    assert set(counts[:, 0]) == {23, 24}
    assert apportion(10, [0.1, 0.9], 3).tolist() == [[1, 9]] * 3


def test_realised_ratio_is_the_reported_one(sources: list[Source]) -> None:
    """What comes out of the stream is counted: the report's numbers, within one image of the target."""
    stream = MixedStream(sources, 6, seed=5)
    drawn = Counter(int(i) for batch in stream.batches() for i in batch.source)
    report = stream.report()
    assert [drawn[0], drawn[1]] == report["drawn"].tolist()
    assert (np.abs(report["drawn"] - report["target"] * len(stream)) < 1).all()
    assert report["repeats"].tolist() == [drawn[0] / 13, drawn[1] / 31]


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_order_does_not_depend_on_ranks(sources: list[Source], world_size: int) -> None:
    """The ranks' slices put together are the same global batches, and all ranks make as many steps."""
    whole = order(MixedStream(sources, 6, seed=1))
    ranks = [order(MixedStream(sources, 6, seed=1, rank=r, world_size=world_size)) for r in range(world_size)]
    assert {len(steps) for steps in ranks} == {len(whole)}
    assert [sum(parts, ()) for parts in zip(*ranks, strict=True)] == whole


def test_order_does_not_depend_on_workers(sources: list[Source]) -> None:
    """Nor do the draws of a random transform."""
    import torch

    def noisy(image: torch.Tensor) -> torch.Tensor:
        return torch.rand(1)

    one, three = (list(MixedStream(sources, 6, seed=1, transform=noisy).batches(w)) for w in (0, 3))
    assert [b.id for b in one] == [b.id for b in three]
    assert all(torch.equal(a.image, b.image) for a, b in zip(one, three, strict=True))


def test_epoch_is_one_pass_over_the_real_images(sources: list[Source]) -> None:
    """Over many epochs no real image is seen more than once more often than another."""
    stream = MixedStream(sources, 7, seed=3)
    seen = Counter(i for _ in range(4) for ids in order(stream) for i in ids if i.startswith("r"))
    assert len(seen) == 13
    assert max(seen.values()) - min(seen.values()) <= 1
    assert stream.steps == -(-13 * 3.5 // 7)


def test_other_rules_for_an_epoch(sources: list[Source]) -> None:
    """One pass over another source, or so many steps."""
    assert MixedStream(sources, 7, anchor=1).steps == -(-31 * 3.5 // (7 * 2.5))
    seen = {i for ids in order(MixedStream(sources, 7, anchor=1)) for i in ids if i.startswith("g")}
    assert len(seen) == 31
    assert len(order(MixedStream(sources, 7, steps=3))) == 3


def test_epochs_and_seeds_differ(sources: list[Source]) -> None:
    stream = MixedStream(sources, 7, seed=3)
    first = order(stream)
    assert order(stream) != first
    assert order(MixedStream(sources, 7, seed=4)) != first
    stream.set_epoch(0)
    assert order(stream) == first


@pytest.mark.parametrize("world_size", [1, 2])
def test_resuming_inside_an_epoch(sources: list[Source], world_size: int) -> None:
    """A state saved after any step goes on with the next, on another number of ranks too."""
    whole = order(MixedStream(sources, 6, seed=1))
    stream = MixedStream(sources, 6, seed=1)
    for done, _ in enumerate(stream.batches(), 1):
        ranks = []
        for rank in range(world_size):
            resumed = MixedStream(sources, 6, seed=1, rank=rank, world_size=world_size)
            resumed.load_state_dict(stream.state_dict())
            ranks.append(order(resumed))
        assert [sum(parts, ()) for parts in zip(*ranks, strict=True)] == whole[done:]


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


def test_exact_pass(make_shards: Make) -> None:
    """Each image once over all ranks; equal steps; padding is marked."""
    data = ShardSet.open(make_shards(11))
    ranks = [list(ExactPass(data, 6, rank=r, world_size=3).batches(workers=0)) for r in range(3)]
    assert {len(steps) for steps in ranks} == {2}
    seen = [i for steps in ranks for b in steps for i, valid in zip(b.id, b.valid.tolist(), strict=True) if valid]
    assert sorted(seen) == list(data.rows["id"])


def test_windows_bound_the_shards_in_use(make_shards: Make) -> None:
    """A windowed shuffle visits few shards at a time, and still every image once a pass."""
    data = ShardSet.open(make_shards(40, shard_size=5))
    stream = MixedStream([Source(data, window=2)], 10)
    ids = order(stream)
    assert sorted(sum(ids, ())) == list(data.rows["id"])
    shard = dict(zip(data.rows["id"], data.rows["shard"], strict=True))
    assert all(len({shard[i] for i in batch}) == 2 for batch in ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world_size": 4}, "multiple of 4"),
        ({"rank": 2, "world_size": 2}, "rank 2 of 2"),
        ({"steps": 0}, "0 steps"),
        ({"seed": -1}, "seed -1"),
        ({"anchor": 2}, "anchor 2 of 2"),
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


@given(st.randoms(use_true_random=False), st.integers(1, 6), st.integers(0, 99))
@settings(deadline=None)
def test_few_of_each_class_depend_on_ids_and_seed_alone(shuffle: random.Random, n: int, seed: int) -> None:
    """A generator must be tuned on the very images of an arm, which reads another file in another order."""
    table = [(f"i{k:02d}", "abc"[k % 3], f"g{k // 3 % 2}") for k in range(30)]

    def chosen(rows: list[tuple[str, str, str]], n: int) -> set[str]:
        ids, classes, groups = zip(*rows, strict=True)
        return {ids[k] for k in few_per_class(ids, classes, groups, n, seed)}

    few = chosen(table, n)
    mixed = shuffle.sample(table, len(table))
    assert chosen(mixed, n) == few
    assert chosen([row for row in mixed if row[1] == "b"], n) == {i for i, label, _ in table if label == "b"} & few
    assert few < chosen(table, n + 1)
    for label in "abc":
        groups = [group for i, name, group in table if name == label and i in few]
        assert len(groups) == n
        assert abs(groups.count("g0") - groups.count("g1")) <= 1
