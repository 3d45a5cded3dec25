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

from shards.ingest.near import NEAR

#: Edge of the hash: 16 x 16 low frequencies, 256 bits. 64 bits are too few for smooth images of skin.
_EDGE = 16


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

    Clusters are placed from the largest to the smallest. Each split first gets the whole images that its share of a
    stratum comes to. What is left of a stratum goes where its class, its group and all images together are furthest
    below their shares, so that strata of a few images each still fill every split (controlled rounding, Cox 1987). The
    order of clusters of equal size depends on the seed.
    """
    random = np.random.Generator(np.random.Philox(seed))
    members: dict[str, list[int]] = {}
    for i, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(i)
    names = sorted(members)
    order = sorted((names[i] for i in random.permutation(len(names))), key=lambda c: -len(members[c]))
    room = _Room(Counter(strata), {split: share / sum(shares.values()) for split, share in shares.items()})
    result = [""] * len(clusters)
    for cluster in order:
        split = room.take([strata[i] for i in members[cluster]])
        for i in members[cluster]:
            result[i] = split
    return result


class _Room:
    """How many images each split still wants: whole images of each stratum, and parts of images of its margins.

    A stratum such as "nevus\\0II" has the margins "nevus", "II" and all images.
    """

    def __init__(self, total: Mapping[str, int], shares: Mapping[str, float]) -> None:
        self.shares = shares
        self.wanted = {(s, split): total[s] * share for s in total for split, share in shares.items()}
        self.whole = {cell: int(wanted + 1e-9) for cell, wanted in self.wanted.items()}
        n = sum(total.values())
        # a share of less than one image still asks for one, more than the three margins of another stratum do
        self.beyond = {(_ALL, split): 3 * max(1 - n * share, 0.0) for split, share in shares.items()}
        for (s, split), wanted in self.wanted.items():
            for margin in _margins(s):
                self.beyond.setdefault((margin, split), 0.0)
                self.beyond[margin, split] += wanted - self.whole[s, split]

    def take(self, strata: Sequence[str]) -> str:
        """Place a cluster with images of these strata."""
        wanted = {split: sum(self.wanted[s, split] for s in strata) for split in self.shares}
        owed = [split for split in self.shares if any(self.whole[s, split] > 0 for s in strata)]
        if owed:
            best = max(owed, key=lambda split: (wanted[split], self.shares[split]))
        else:
            open_ = [split for split in self.shares if wanted[split] > 1e-9] or list(self.shares)
            margins = [margin for s in strata for margin in _margins(s)]
            best = max(open_, key=lambda split: (round(sum(self.beyond[m, split] for m in margins), 6), wanted[split]))
        for s in strata:
            self.wanted[s, best] -= 1
            if self.whole[s, best] > 0:
                self.whole[s, best] -= 1
            else:
                for margin in _margins(s):
                    self.beyond[margin, best] -= 1
        return best


#: The margin of all images.
_ALL = (-1, "")


def _margins(stratum: str) -> list[tuple[int, str]]:
    return [_ALL, *enumerate(stratum.split("\0"))]
