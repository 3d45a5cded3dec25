"""What a split allows further along the road, said before anything is tuned: afterwards a new split would be a leak."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dermforge.common.least_numbers import AUDIT_PATIENTS, FILTER_CLASS, FILTER_VALIDATION, GROUP_IMAGES
from dermforge.common.skin_tone import in_order
from shards.format.reader import ShardSet
from shards.format.schema import SPLITS
from shards.ingest.write.dedupe import split_clusters

#: The shares that are tried: multiples of the first, at least the second of training and at most the third of test
#: images. Verdicts on skin types are not worth more than half of the training images.
_STEP, _LEAST_TRAIN, _MOST_HELD, _TRAIN_FOR_GROUPS = 0.05, 0.3, 0.4, 0.5


@dataclass(frozen=True)
class Numbers:
    """How many images a split has, and so what can be asked of it.

    Attributes
    ----------
    images
        Of each split.
    patients
        Test images that count as one each for the audit of copies: patients, or images without one.
    classes
        Training images of each class of the whole set.
    untested
        Classes without test images.
    groups
        Test images of each skin type of the whole set.
    """

    images: dict[str, int]
    patients: int
    classes: dict[str, int]
    untested: tuple[str, ...]
    groups: dict[str, int]

    @property
    def filter(self) -> bool:
        """Whether validation images suffice for the thresholds of the filter."""
        return self.images["validation"] >= FILTER_VALIDATION

    @property
    def audit(self) -> bool:
        """Whether test images suffice to calibrate the audit of copies."""
        return self.patients >= AUDIT_PATIENTS

    @property
    def study(self) -> int:
        """The most real images per class that an arm can have; 0: there can be none."""
        return min(self.classes.values()) if len(self.classes) > 1 and all(self.images.values()) else 0

    @property
    def sizes(self) -> list[int]:
        """Numbers of real images per class that a study could vary: powers of two, at most seven."""
        return [2**n for n in range(self.study.bit_length())][-7:]

    @property
    def atypical(self) -> list[str]:
        """Classes of which the filter does not know what is typical."""
        return [name for name, n in self.classes.items() if n < FILTER_CLASS]

    @property
    def judged(self) -> list[str]:
        """Skin types with enough test images for a number of their own."""
        return [name for name, n in self.groups.items() if n >= GROUP_IMAGES]

    @property
    def half_width(self) -> float:
        """Half the 95 % interval of an accuracy of one half, on these test images; NaN without any."""
        return 0.98 / math.sqrt(self.patients) if self.patients else math.nan

    @property
    def ends(self) -> bool:
        """Whether every command of the road runs to its end."""
        return self.filter and self.audit and self.study > 0

    def record(self) -> dict[str, Any]:
        """For JSON: the counts, and what they allow."""
        may = {"filter": self.filter, "audit": self.audit, "sizes": self.sizes, "judged": self.judged}
        return asdict(self) | may | {"ends": self.ends}


@dataclass(frozen=True)
class Proposal:
    """Shares of train, validation and test, and the numbers that they give."""

    shares: tuple[float, ...]
    numbers: Numbers

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {"split": list(self.shares), "allows": self.numbers.record()}


def read_rows(out: str | Path, splits: Collection[str]) -> pd.DataFrame:
    """Class, group, cluster and split of every image that `make` wrote to `out`."""
    sets = [ShardSet.open(f"{str(out).rstrip('/')}/{split}").rows for split in splits]
    return pd.concat([rows[["class", "group", "cluster", "split"]] for rows in sets], ignore_index=True)


def count(rows: pd.DataFrame) -> Numbers:
    """The numbers of a split.

    Parameters
    ----------
    rows
        A row an image: class, group, cluster, split.
    """
    test, train = rows[rows["split"] == "test"], rows[rows["split"] == "train"]
    labels, groups = sorted(set(rows["class"])), in_order(set(rows["group"].dropna().map(str)))
    return Numbers(
        images={split: int((rows["split"] == split).sum()) for split in SPLITS},
        patients=_patients(test),
        classes={name: int((train["class"] == name).sum()) for name in labels},
        untested=tuple(sorted(set(labels) - set(test["class"]))),
        groups={str(name): int((test["group"] == name).sum()) for name in groups},
    )


def propose(rows: pd.DataFrame, seed: int) -> Proposal | None:
    """Shares with which the road ends, or with which more skin types can be judged; None where these already do.

    Of the shares with which the road ends, those that judge most skin types while half the images are left to train
    on, and then those with most training images. `shards make` with them and this seed gives these numbers.
    """
    now = count(rows)
    reachable = sum(n >= GROUP_IMAGES / _MOST_HELD for n in rows["group"].value_counts())
    if now.ends and len(now.judged) >= reachable:
        return None
    best: Proposal | None = None
    for shares in _candidates():
        if best and shares[0] < _TRAIN_FOR_GROUPS:
            break
        numbers = count(rows.assign(split=_split(rows, shares, seed)))
        if numbers.ends and (best is None or len(numbers.judged) > len(best.numbers.judged)):
            best = Proposal(shares, numbers)
            if len(numbers.judged) >= reachable:
                break
    better = best and (not now.ends or len(best.numbers.judged) > len(now.judged))
    return best if better else None


def needed(rows: pd.DataFrame) -> tuple[int, int]:
    """Images and patients from which some split lets the road end, if they are like these."""
    each = len(rows) / max(_patients(rows), 1)
    patients = AUDIT_PATIENTS + math.ceil(FILTER_VALIDATION / each) + rows["class"].nunique()
    return math.ceil(patients * each), patients


def needed_for_groups(rows: pd.DataFrame, numbers: Numbers) -> int:
    """Images like these from which this split has enough test images of every skin type."""
    share = numbers.images["test"] / len(rows)
    scarcest = int(rows["group"].value_counts().min())
    return math.ceil(len(rows) * GROUP_IMAGES / (scarcest * share)) if share else 0


def _candidates() -> Iterator[tuple[float, float, float]]:
    """Shares of train, validation and test: with most training images first, then with validation and test alike."""
    steps = round(1 / _STEP)
    made = [(steps - v - t, v, t) for v in range(1, steps) for t in range(v, steps)]
    made = [s for s in made if s[0] >= _LEAST_TRAIN * steps and s[2] <= _MOST_HELD * steps]
    for parts in sorted(made, key=lambda s: (-s[0], s[2] - s[1])):
        train, validation, test = (round(n * _STEP, 2) for n in parts)
        yield train, validation, test


def _split(rows: pd.DataFrame, shares: tuple[float, float, float], seed: int) -> list[str]:
    named: Mapping[str, float] = dict(zip(SPLITS, shares, strict=True))
    groups = rows["group"].astype(object).where(rows["group"].notna(), None)
    strata = [f"{label}\0{group}" for label, group in zip(rows["class"], groups, strict=True)]
    return split_clusters(rows["cluster"].tolist(), strata, named, seed)


def _patients(rows: pd.DataFrame) -> int:
    return int(rows["cluster"].nunique())
