"""The order in which images are drawn: exact shares, passes without replacement, all a function of the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import UserError


def apportion(batch: int, weights: Sequence[float], steps: int) -> NDArray[np.int64]:
    """Images of each source in each of `steps` batches, [steps, sources], by largest remainder.

    Every batch holds each source's share rounded down, or one image more, and every total from the start is within one
    image of its share. With two sources the extra image goes to the source that is owed most so far: Hamilton's method
    with the remainders carried over, which stays within half an image. With more sources largest remainders can be off
    by more than one, so the extra images are scheduled as unit tasks on as many processors, by the algorithm PD2
    (Anderson and Srinivasan, Mixed Pfair/ERfair scheduling, 2004), which is proven to stay within one.
    """
    shares = _whole_numbers(weights)
    total = sum(shares)
    whole = [batch * share // total for share in shares]
    more, left = [batch * share % total for share in shares], batch - sum(whole)
    extra = np.zeros((steps, len(shares)), dtype=np.int64)
    given = [0] * len(shares)

    def urgency(source: int, step: int) -> tuple[object, ...]:
        if len(shares) == 2:
            return (given[source] * total - more[source] * (step + 1),)
        return _pd2(given[source] + 1, more[source], total, step)

    for step in range(steps if left else 0):
        for source in sorted(range(len(shares)), key=lambda source: urgency(source, step))[:left]:
            extra[step, source] += 1
            given[source] += 1
    return extra + np.array(whole, dtype=np.int64)


def _pd2(unit: int, rate: int, total: int, step: int) -> tuple[object, ...]:
    """How urgent a task's next unit is, the most urgent first; the task gets rate / total of a processor.

    First the units that may run already, then the earliest deadline, then those whose window overlaps the next one,
    then those that begin the longest chain of such windows (the group deadline, which only heavy tasks have).
    """
    if rate == 0:
        return (True, math.inf, True, 0)
    deadline, idle = _rounded_up(unit * total, rate), total - rate
    group = _rounded_up(_rounded_up(deadline * idle, total) * total, idle) if 2 * rate >= total else 0
    return ((unit - 1) * total // rate > step, deadline, unit * total % rate == 0, -group)


def _rounded_up(number: int, parts: int) -> int:
    return -(-number // parts)


def steps_for_pass(n: int, batch: int, weights: Sequence[float], anchor: int) -> int:
    """Batches until the source at `anchor`, of n images, has given each of them once."""
    shares = _whole_numbers(weights)
    return max(1, _rounded_up(n * sum(shares), batch * shares[anchor]))


def generator(*key: int) -> np.random.Generator:
    """A counter-based generator: its numbers are a function of the key."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def few_per_class(rows: pd.DataFrame, per_class: int, seed: int) -> NDArray[np.int64]:
    """Positions of at most this many images of each class, spread over the groups in turn; ascending.

    A function of the ids and the seed: the order of the rows and other classes do not matter, so `shards select` can
    give a generator the same images that an arm of a study has. Nested: a smaller number gives a subset of a larger
    number's rows, so arms that differ in it differ in nothing else.

    Parameters
    ----------
    rows
        The table of an `ImageSet`; "id", "class" and "group" are read.
    """
    table = rows[["id", "class"]].assign(group=rows["group"].fillna("unknown")).reset_index(drop=True)
    table = table.sort_values("id", kind="stable")
    shuffled = [table.assign(lot=0).iloc[:0]]
    for name, mine in table.groupby("class"):
        rng = generator(seed, 0x5EED, *str(name).encode())
        mine = mine.iloc[rng.permutation(len(mine))]
        shuffled.append(mine.assign(lot=rng.permutation(len(mine))))  # no group goes first in every turn
    table = pd.concat(shuffled)
    table["turn"] = table.groupby(["class", "group"]).cumcount()
    chosen = table.sort_values(["turn", "lot"]).groupby("class").head(per_class)
    return np.sort(chosen.index.to_numpy(np.int64))


class Draws:
    """The infinite sequence of rows that a source gives: pass after pass, each in another order.

    Parameters
    ----------
    rows
        The source's table; "class", "group" and "shard" are read.
    seed
        Of the order; draw number k is a function of it and k.
    balance
        "class" or "cell": every class, or cell of class x group, equally often.
    window
        Shards to shuffle among; None for all.
    """

    def __init__(
        self, rows: pd.DataFrame, seed: tuple[int, ...], balance: str | None = None, window: int | None = None
    ) -> None:
        if balance not in (None, "class", "cell") or (window is not None and window < 1):
            raise UserError(
                f"balance {balance!r} and a window of {window} shards; expected None, 'class' or 'cell', and 1 or more"
            )
        self.seed, self.window = seed, window or 0
        self.strata = _strata(rows, balance)
        self.shards = rows["shard"].to_numpy() if window and "shard" in rows else None
        self._remember()

    def _remember(self) -> None:
        self._order = lru_cache(maxsize=4 + 2 * len(self.strata))(self._shuffled)
        self._turn = lru_cache(maxsize=8)(lambda block: generator(*self.seed, block, 1).permutation(len(self.strata)))

    def take(self, start: int, count: int) -> NDArray[np.int64]:
        """The rows of `count` draws, from number `start` on."""
        if len(self.strata) > 1:
            return np.array([self[number] for number in range(start, start + count)], dtype=np.int64)
        parts = [np.zeros(0, dtype=np.int64)]
        while count:
            turn, place = divmod(start, len(self.strata[0]))
            parts.append(self._order(0, turn)[place : place + count])
            start, count = start + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)

    def __getitem__(self, number: int) -> int:
        block, slot = divmod(number, len(self.strata))
        stratum = int(self._turn(block)[slot]) if len(self.strata) > 1 else 0
        rows = self.strata[stratum]
        turn, place = divmod(block, len(rows))
        return int(self._order(stratum, turn)[place])

    def most_repeats(self, drawn: int) -> int:
        """How often the most repeated image occurs in this many draws."""
        return max(math.ceil(math.ceil(drawn / len(self.strata)) / len(rows)) for rows in self.strata)

    def _shuffled(self, stratum: int, turn: int) -> NDArray[np.int64]:
        rows, random = self.strata[stratum], generator(*self.seed, turn, stratum, 2)
        if self.shards is None:
            return rows[random.permutation(len(rows))]
        shard = self.shards[rows]
        order = random.permutation(np.unique(shard))
        windows = [order[i : i + self.window] for i in range(0, len(order), self.window)]
        return np.concatenate([random.permutation(rows[np.isin(shard, window)]) for window in windows])

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_order", "_turn")}  # caches do not travel

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._remember()


def _strata(rows: pd.DataFrame, balance: str | None) -> list[NDArray[np.int64]]:
    if balance is None:
        return [np.arange(len(rows))]
    keys = rows["class"] if balance == "class" else rows["class"] + "\0" + rows["group"].map(str)
    values = keys.to_numpy()
    return [np.flatnonzero(values == key) for key in sorted(set(values))]


def _whole_numbers(weights: Sequence[float]) -> list[int]:
    """The weights as integers with the same ratios; 0.1 counts as a tenth, not as its nearest double."""
    if not weights or not all(0 < weight < math.inf for weight in weights):
        raise UserError(f"weights {list(weights)}; expected numbers above 0, one for each source")
    exact = [Fraction(weight).limit_denominator(10**9) for weight in weights]
    if not all(exact):
        raise UserError(f"weights {list(weights)}; expected none below 1e-9")
    common = math.lcm(*(weight.denominator for weight in exact))
    return [int(weight * common) for weight in exact]
