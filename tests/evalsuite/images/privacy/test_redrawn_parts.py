"""Inpainted and outpainted images are judged by their redrawn part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from image_helpers import phantoms

from evalsuite.images.image_data import ArrayImages
from evalsuite.images.privacy.audit import PART, UNCLEARED, audit_copies
from evalsuite.images.privacy.planted_copies import KINDS
from shards import Sample


@pytest.mark.parametrize("seen", [False, True])
def test_inpainting_is_judged_by_the_part_that_was_redrawn(seen: bool) -> None:
    """The kept border is the parent's by design; a centre that repeats the parent's or, mirrored, another's is not."""
    train, others = phantoms(60, 0), phantoms(10, 30_000)

    def pasted(i: int, centre: np.ndarray) -> np.ndarray:
        image = train[i].copy()
        image[16:48, 16:48] = centre[16:48, 16:48]
        return image

    rng = np.random.default_rng(0)
    honest = [pasted(i, others[i]) for i in range(10)]
    parents = [KINDS["recompressed"](train[i], rng) for i in range(10)]
    foreign = [KINDS["recompressed"](pasted(i, train[59 - i][:, ::-1]), rng) for i in range(10)]
    samples = [
        Sample(
            id=f"s-{i}", origin="synthetic", label="plaque", strategy="inpaint", mask="centre", parent=f"train-{i % 10}"
        )
        for i in range(30)
    ]
    unseen = np.stack(phantoms(100, 10_000)) if seen else None
    made = ArrayImages(samples, honest + parents + foreign)
    audit = audit_copies(train=np.stack(train), synthetic=made, test=unseen, control=1)
    assert audit.images["copy"].tolist() == [False] * 10 + [True] * 20
    assert audit.images["nearest"][10:].tolist() == [f"train-{i}" for i in (*range(10), *range(59, 49, -1))]
    assert set(audit.rates["how"]) == {PART}
    assert audit.images["kept"].tolist() == [0.75] * 30
    assert audit.status == "bad"


def test_outpainting_is_judged_by_all_but_the_centre() -> None:
    """There the lesion is the photograph's by design, and the skin around it is what may not be."""
    train, others, unseen = phantoms(60, 0), phantoms(20, 30_000), phantoms(100, 10_000)
    honest = [image.copy() for image in others]
    copied = [KINDS["noised"](image, np.random.default_rng(0)) for image in train[:10]]
    for image, parent in zip(honest, train, strict=False):
        image[16:48, 16:48] = parent[16:48, 16:48]
    samples = [
        Sample(
            id=f"s-{i}",
            origin="synthetic",
            label="plaque",
            strategy="outpaint",
            mask="centre",
            parent=f"train-{i % 20}",
        )
        for i in range(30)
    ]
    made = ArrayImages(samples, honest + copied)
    audit = audit_copies(train=np.stack(train), synthetic=made, test=np.stack(unseen), control=4)
    assert audit.images["copy"][20:].all()
    assert audit.images["copy"][:20].sum() <= 1
    assert audit.images["kept"].tolist() == [0.25] * 30
    assert audit.status == "bad"
    cleared = replace(audit, images=audit.images[:20].assign(copy=False))
    assert cleared.status == "unknown"
    assert UNCLEARED in cleared.sentence


def test_an_inpainted_image_without_a_change_is_the_photograph() -> None:
    """Where the mask's word fixes no place, what was drawn anew is measured; nothing drawn anew is a copy."""
    train = phantoms(40, 0)
    sample = Sample(id="s-0", origin="synthetic", label="plaque", strategy="inpaint", mask="lesion", parent="train-7")
    audit = audit_copies(train=np.stack(train), synthetic=ArrayImages([sample], [train[7]]), control=1)
    row = audit.images.iloc[0]
    assert (row["copy"], row["kept"], row["nearest"]) == (True, 1.0, "train-7")


def test_unchanged_photographs_do_not_hide_copies() -> None:
    """An empty part is like any image, so it sets no threshold for the parts that were drawn anew."""
    train, rng = phantoms(40, 0), np.random.default_rng(0)
    copied = [train[i].copy() for i in range(5)]
    for i, image in enumerate(copied):
        image[16:48, 16:48] = KINDS["noised"](train[39 - i], rng)[16:48, 16:48]
    samples = [
        Sample(
            id=f"s-{i}",
            origin="synthetic",
            label="plaque",
            strategy="inpaint",
            parent=f"train-{i % 5}",
            mask="centre" if i < 5 else "lesion",
        )
        for i in range(10)
    ]
    audit = audit_copies(train=np.stack(train), synthetic=ArrayImages(samples, copied + train[:5]), control=1)
    assert audit.images["copy"].all()
    assert audit.images["nearest"].tolist() == [f"train-{i}" for i in (*range(39, 34, -1), *range(5))]
