"""Near duplicates are found, and splits keep them together."""

from __future__ import annotations

import numpy as np
from shards_helpers import picture

from shards.format.images import encode_image
from shards.ingest.write.dedupe import families, near_pairs, perceptual_hash, split_clusters

SHARES = {"train": 0.5, "validation": 0.25, "test": 0.25}


def test_hashes_survive_recoding_and_part_others() -> None:
    from shards.format.images import decode_image

    hashes = [perceptual_hash(picture(i, 128)) for i in range(20)]
    hashes.append(perceptual_hash(decode_image(encode_image(picture(4, 128), "jpg", 60))))
    hashes.append(perceptual_hash(picture(7, 90)))
    assert near_pairs(np.stack(hashes)) == [(4, 20), (7, 21)]


def test_a_patient_of_many_images_leaves_the_shares_as_they_are() -> None:
    """With a fifth of a class in one cluster, every share is still exact to one image."""
    clusters = ["patient"] * 20 + [f"c{i}" for i in range(80)]
    for seed in range(10):
        split = split_clusters(clusters, ["a"] * 100, SHARES, seed)
        assert len(set(split[:20])) == 1
        assert all(abs(split.count(name) - 100 * share) <= 1 for name, share in SHARES.items())


def test_split_is_stratified_and_seeded() -> None:
    """Every stratum is divided exactly to one image."""
    clusters, strata = [f"c{i}" for i in range(200)], [f"{i % 4}" for i in range(200)]
    one = split_clusters(clusters, strata, SHARES, seed=1)
    assert one == split_clusters(clusters, strata, SHARES, seed=1)
    assert one != split_clusters(clusters, strata, SHARES, seed=2)
    for stratum in "0123":
        mine = [s for s, t in zip(one, strata, strict=True) if t == stratum]
        assert all(abs(mine.count(split) - 50 * share) <= 1 for split, share in SHARES.items())


def test_families_join_patients_and_near_duplicates() -> None:
    """A chain of links is one family, named after the patient of its first image, else after that image."""
    names = [f"i{n}" for n in range(7)]
    patients = [None, "p1", None, "p1", "p2", None, "p2"]
    assert families(names, patients, [(0, 1), (3, 4)]) == ["i0", "i0", "i2", "i0", "i0", "i5", "i0"]
    assert families(names, patients, []) == ["i0", "p1", "i2", "p1", "p2", "i5", "p2"]
