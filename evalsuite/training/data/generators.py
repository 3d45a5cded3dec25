"""Which generator made each synthetic image, and what that generator saw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shards import ImageSet, ShardSet


def generators(sets: Sequence[ImageSet], apart: bool = False) -> tuple[tuple[tuple[str, ...], ...], NDArray[np.int64]]:
    """The lineage of each generator, and the generator of each image.

    Parameters
    ----------
    apart
        Each set is a generator of its own, also where several were tuned on the same images (with other seeds);
        otherwise a lineage is one generator.
    """
    numbers: dict[tuple[int, tuple[str, ...]], int] = {}
    parts = [np.zeros(0, dtype=np.int64)]
    for place, images in enumerate(sets):
        own = place if apart else 0
        sidecars = images.sidecars if isinstance(images, ShardSet) else []
        mine = [numbers.setdefault((own, tuple(sorted(s.lineage))), len(numbers)) for s in sidecars]
        alone = () if mine else numbers.setdefault((own, ()), len(numbers))
        parts.append(np.array(mine)[images.rows["shard"]] if mine else np.full(images.n, alone))
    return tuple(lineage for _, lineage in numbers), np.concatenate(parts)
