"""The lineage guard: no generator may have seen test images, or more real images than the arm that uses it has."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dermforge.common import id_ranges as ranges
from dermforge.common.errors import UserError
from evalsuite.fairness.predictions import some
from shards.mixing.tensors import TensorSet

#: Side of the thumbnails that are compared, and the largest RMS distance of near-duplicates, on a scale to 255.
THUMBNAIL, NEAR = 16, 2.5
#: Side at which images are read where only thumbnails are compared.
SIDE = 64
#: Ids of phantoms name their draw (`gen phantoms`).
PHANTOM = re.compile(r"phantom-\d+-")


@dataclass(frozen=True)
class Leak:
    """Something that a generator knows and must not. `ids` are real images."""

    what: str
    ids: tuple[str, ...]

    def text(self, most: int = 20) -> str:
        return f"{self.what}: {some(self.ids, most)}" if self.ids else self.what


def held_out_leaks(
    lineage: Sequence[str],
    parents: Collection[str],
    held_out: Mapping[str, TensorSet],
    real_train: TensorSet | None = None,
) -> list[Leak]:
    """Held-out images, or near-duplicates of them, that the generator saw.

    Parameters
    ----------
    lineage
        Real ids (or ranges of them) that the generators were tuned on.
    parents
        Real ids that synthetic images were made from.
    held_out
        Images by what they are: validation, test.
    real_train
        Training images; held-out images are compared with those of them that are in the lineage or are parents.
    """
    leaks = unrecorded_leak(lineage)
    for part, images in held_out.items():
        seen = ranges.overlap(images.rows["id"], lineage)
        if seen:
            leaks.append(Leak(f"{len(seen)} {part} images are in the lineage of the generator", tuple(seen)))
        made_from = sorted(set(images.rows["id"]) & set(parents))
        if made_from:
            leaks.append(Leak(f"{len(made_from)} {part} images are parents of synthetic images", tuple(made_from)))
        if real_train is None:
            continue
        known = set(ranges.overlap(real_train.rows["id"], lineage)) | set(parents)
        pairs = near_duplicates(images, real_train.where(ids=known))
        if pairs:
            leaks.append(
                Leak(
                    f"{len(pairs)} {part} images are near-duplicates of images that the generator saw",
                    tuple(f"{a} ~ {b}" for a, b in pairs),
                )
            )
    return leaks


def unrecorded_leak(lineage: Sequence[str]) -> list[Leak]:
    """A generator with an adapter that does not say what it was trained on may have seen any image."""
    unknown = sorted(set(ranges.without_record(lineage)))
    if not unknown:
        return []
    return [
        Leak(
            f"the generator holds {', '.join(unknown)}, whose training images nobody recorded: any image may be among "
            "them",
            (),
        )
    ]


def arm_leaks(lineage: Sequence[str], arm_ids: Collection[str], phantoms: bool) -> tuple[list[Leak], str | None]:
    """What the generator saw beyond the real images of an arm: (leaks, a note).

    Phantoms show no patient. A generator that was trained on other phantoms plays the part of a pretrained base model,
    also after it was tuned on photographs: that is a note, not a refusal. The arm's own data set beyond its n images is
    always a leak.
    """
    if unknown := unrecorded_leak(lineage):
        return unknown, None
    known = set(arm_ids)
    strangers = [one for one in dict.fromkeys(ranges.expand(lineage)) if one not in known]
    photographs = [] if phantoms else [one for one in strangers if not PHANTOM.match(one)]
    if photographs:
        return [
            Leak(
                f"the generator was tuned on {len(photographs)} real images that are not among the {len(known)} real "
                "images of this arm; tune one on the arm's own images",
                tuple(photographs),
            )
        ], None
    if not strangers:
        return [], None
    if not phantoms:
        return [], (
            f"The generator was first trained on {len(strangers)} drawn phantoms, which show no patient; they count as "
            "a pretrained model's images."
        )
    return [], (
        f"The generator was trained on {len(strangers)} phantoms that the real-only arm does not have. This run "
        "shows that the chain works and how it is measured; it does not show that synthetic images "
        "replace real ones."
    )


def own_set_leak(lineage: Sequence[str], arm_ids: Collection[str], train_ids: Collection[str]) -> list[Leak]:
    """Training images of this data set that the generator saw and the arm does not have."""
    rest = sorted(set(train_ids) - set(arm_ids))
    seen = ranges.overlap(rest, lineage)
    if not seen:
        return []
    return [
        Leak(
            f"{len(seen)} training images outside this arm's {len(arm_ids)} are in the lineage of the generator; "
            "tune one on the arm's own images (`shards select --few`, docs/how-to/generator-per-size.md)",
            tuple(seen),
        )
    ]


def refuse(leaks: Sequence[Leak], allow: bool) -> list[str]:
    """The leaks as text, where they are allowed.

    Raises
    ------
    UserError
        There are leaks and they are not allowed; the ids are named.
    """
    if leaks and not allow:
        raise UserError(
            "; ".join(leak.text() for leak in leaks)
            + " (`allow_leakage` continues all the same, and the report says so in red)"
        )
    return [leak.text() for leak in leaks]


def near_duplicates(a: TensorSet, b: TensorSet) -> list[tuple[str, str]]:
    """Pairs of ids whose thumbnails are nearly equal: the same picture, resized or coded again.

    Mirrored, cropped or recoloured copies are not found; `evalsuite privacy` looks for those.
    """
    if not a.n or not b.n:
        return []
    left, right = _thumbnails(a), _thumbnails(b)
    names, others = a.rows["id"].tolist(), b.rows["id"].tolist()
    pairs = []
    for start in range(0, a.n, 256):
        distance = torch.cdist(left[start : start + 256], right) / np.sqrt(left.shape[1])
        for i, j in torch.nonzero(distance < NEAR).tolist():
            if names[start + i] != others[j]:
                pairs.append((names[start + i], others[j]))
    return pairs


def _thumbnails(images: TensorSet) -> torch.Tensor:
    """Small versions of the images, float32 [n, 3 * 16 * 16]."""
    pool = torch.nn.functional.adaptive_avg_pool2d
    return torch.cat([pool(batch.float(), THUMBNAIL).flatten(1) for batch in images.batches(256)])
