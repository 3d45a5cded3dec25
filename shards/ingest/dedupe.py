"""Duplicates by perceptual hash, and splits that keep duplicates and patients together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

#: Edge of the hash: 16 x 16 low frequencies, 256 bits. 64 bits are too few for smooth images of skin.
_EDGE = 16
#: How many bits may differ between near duplicates: recompression and resizing change about 10, other images 128.
NEAR = 24


def perceptual_hash(image: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """256 bits, uint64 [4]: which low frequencies lie above their median (Zauner 2010, pHash).

    Parameters
    ----------
    image
        RGB, uint8 [H, W, 3].
    """
    small = Image.fromarray(image).convert("L").resize((4 * _EDGE, 4 * _EDGE), Image.Resampling.LANCZOS)
    low = dctn(np.asarray(small, dtype=np.float32), norm="ortho")[:_EDGE, :_EDGE].ravel()
    bits = low > np.median(low[1:])  # the first coefficient is the mean brightness
    return np.packbits(bits).view(np.uint64)


def near_pairs(hashes: NDArray[np.uint64], most: int = NEAR) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of hashes [n, 4] that differ in at most `most` bits."""
    pairs: list[tuple[int, int]] = []
    for i in range(len(hashes) - 1):
        distance = np.bitwise_count(hashes[i + 1 :] ^ hashes[i]).sum(axis=1)
        pairs += [(i, i + 1 + int(j)) for j in np.flatnonzero(distance <= most)]
    return pairs


def families(names: Sequence[str], groups: Sequence[str | None], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """The cluster of each image: images that share a group (a patient) or form a pair are in one cluster.

    A cluster is named after the group of its first image, or after that image where it has no group.
    """
    first: dict[str, int] = {}
    shared = [(first.setdefault(group, i), i) for i, group in enumerate(groups) if group is not None]
    links = np.array([*shared, *pairs], dtype=np.intp).reshape(-1, 2)
    graph = coo_array((np.ones(len(links)), links.T), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    _, starts = np.unique(component, return_index=True)
    return [groups[i] or names[i] for i in starts[component]]


def split_clusters(
    clusters: Sequence[str], strata: Sequence[str], shares: Mapping[str, float], seed: int = 0
) -> list[str]:
    """The split of each image. Clusters stay whole, and every stratum (class x group) is divided by `shares`.

    Clusters are placed from the largest to the smallest, each in the split whose strata are furthest below their
    shares. The order of clusters of equal size depends on the seed.
    """
    random = np.random.Generator(np.random.Philox(seed))
    members: dict[str, list[int]] = {}
    for i, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(i)
    names = sorted(members)
    order = sorted((names[i] for i in random.permutation(len(names))), key=lambda c: -len(members[c]))
    total = Counter(strata)
    wanted = {(s, split): total[s] * share / sum(shares.values()) for s in total for split, share in shares.items()}
    result = [""] * len(clusters)
    for cluster in order:
        mine = [strata[i] for i in members[cluster]]
        best = max(shares, key=lambda split: (sum(wanted[s, split] for s in mine), shares[split]))
        for i, stratum in zip(members[cluster], mine, strict=True):
            result[i] = best
            wanted[stratum, best] -= 1
    return result
