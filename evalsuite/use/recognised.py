"""Is each image recognised as its class, and what for is it taken instead? A linear classifier of real images says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from evalsuite.images.features.extract import Features
from evalsuite.images.image_data import families
from evalsuite.images.quality.utility import linear
from evalsuite.stats.estimate import Estimate, share
from evalsuite.use.comparison import Comparison, Families, share_change

Labels = NDArray[np.str_]


@dataclass(frozen=True)
class Judged:
    """Images and what a classifier takes each for: class, predicted class and family, [n]."""

    label: Labels
    predicted: Labels
    family: Families

    def of(self, label: str | None, predicted: str) -> tuple[NDArray[np.bool_], Families]:
        """Which images of a class (None: of all, each of its own) are taken for a class."""
        rows = np.ones(len(self.label), dtype=bool) if label is None else self.label == label
        hits = self.predicted == (self.label if label is None else predicted)
        return hits[rows], self.family[rows]


@dataclass(frozen=True)
class Recognition:
    """What a classifier that learnt from real training images says of three sets.

    Attributes
    ----------
    classes
        Those of the synthetic images.
    real
        Real images that it did not learn from: how well it knows each class.
    """

    classes: tuple[str, ...]
    real: Judged
    teacher: Judged
    student: Judged
    paired: bool

    def knows(self, label: str | None) -> Estimate:
        """The share of real images of a class (None: of all) that it recognises."""
        return share(*self.real.of(label, label or ""))

    def confusion(self, side: Judged) -> pd.DataFrame:
        """Shares of the images of each class (rows) that are taken for each (columns)."""
        return pd.crosstab(side.label, side.predicted, normalize="index").rename_axis("class")

    def compare(self) -> Iterator[Comparison]:
        """The share recognised, in all and per class, and the share taken for each other class.

        A class that the classifier does not know better than chance in real images says nothing of synthetic ones.
        """
        yield self._row("recognised", "all", None, "")
        for label in self.classes:
            yield self._row("recognised_class", label, label, label)
        for label in self.classes:
            for other in self._known:
                if other != label:
                    yield self._row("confusion", f"{label} taken for {other}", label, other)

    @property
    def _known(self) -> list[str]:
        return sorted(set(self.real.label))

    def _row(self, measure: str, cell: str, label: str | None, predicted: str) -> Comparison:
        sides = (side.of(label, predicted) for side in (self.teacher, self.student))
        found = share_change(measure, cell, *sides, paired_rows=self.paired)
        known = self.knows(label)
        if not found.lacking and not known.low > 1 / len(self._known):
            of = f" of {label}" if label else ""
            why = f"the classifier recognises {known.text(2)} of real images{of}, which is not above chance"
            return replace(found, lacking=why)
        return found


def recognise(
    train: Features, real: Features, teacher: Features, student: Features, *, paired: bool, parents: pd.DataFrame
) -> Recognition:
    """Train on real features and judge the others.

    Parameters
    ----------
    real
        Real images that were not trained on.
    parents
        The real images that synthetic ones may have been made from.

    Raises
    ------
    UserError
        The training images are of one class, or a synthetic image is of a class that they do not have.
    """
    labels = train.frame["class"].to_numpy(dtype=str)
    classes = sorted(set(teacher.frame["class"]))
    if len(set(labels)) < 2:
        raise UserError(f"the training images are all of the class {labels[0]}; a classifier needs two classes")
    if strange := sorted(set(classes) - set(labels)):
        raise UserError(
            f"synthetic images are of the class {', '.join(strange)}; the training images have "
            f"{', '.join(sorted(set(labels)))}"
        )
    model: Any = linear().fit(train.take(), labels)

    def seen(of: Features) -> Judged:
        return Judged(of.frame["class"].to_numpy(dtype=str), model.predict(of.take()), families(of.frame, parents))

    return Recognition(tuple(classes), seen(real), seen(teacher), seen(student), paired)
