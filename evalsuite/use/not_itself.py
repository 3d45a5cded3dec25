"""A generator is not compared with itself: it would serve as well as its teacher, whatever it draws."""

from __future__ import annotations

from collections import Counter
from typing import Any

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import UserError
from dermforge.common.use_certificate import settings_of
from evalsuite.use.same_plan import Pair
from shards import ImageSet

REMEDY = (
    "a generator compared with itself passes whatever it draws, so nothing was compared: give as the teacher's the "
    "images of the generator that is to be replaced, or of the same bundle at its own settings"
)
#: Class, skin type and strategy, with a bundle and a text of its settings: what drew an image of which cell.
Drawn = tuple[str, str | None, str | None, str, str]


def refuse_itself(pair: Pair) -> None:
    """Refuse two sets of the same images, and images of one cell that one bundle drew by the same settings.

    The seeds may differ. A bundle at other settings, such as fewer steps, is another generator. Of images whose shards
    name no bundle nothing is known but whether they are the same.

    Raises
    ------
    UserError
        Says what is the same on both sides.
    """
    if pair.teacher.n == pair.student.n and _pictures(pair.teacher) == _pictures(pair.student):
        raise UserError(f"teacher and student are the same {pair.teacher.n} images; {REMEDY}")
    if not set.intersection(*({*_bundles(side)} - {""} for side in (pair.teacher, pair.student))):
        return
    teacher, student = _drawn(pair.teacher), _drawn(pair.student)
    if same := sorted(teacher.keys() & student.keys(), key=str):
        label, group, strategy, bundle, _ = same[0]
        told = ", ".join(f"{name} {value}" for name, value in sorted(teacher[same[0]].items()) if name != "strategy")
        cell = " x ".join(part for part in (label, group, strategy) if part)
        raise UserError(
            f"teacher and student are drawn by the same bundle ({bundle[:12]}) with the same settings ({told}), as the "
            f"records of {cell} say{_more(len(same))}; {REMEDY}"
        )


def _pictures(data: ImageSet) -> Counter[str]:
    """The pixels, as digests: the files of two bundles differ by their marks."""
    return Counter(digest_bytes(pixels.tobytes()) for _, pixels in data.images(verify=False))


def _bundles(data: ImageSet) -> list[str]:
    """The bundle that each image's shard names; "" where it names none."""
    return [data.provenance(position).bundle_digest or "" for position in range(data.n)]


def _drawn(data: ImageSet) -> dict[Drawn, dict[str, Any]]:
    """Everything known that drew images of the set, by cell, with its settings; no image is decoded."""
    found: dict[Drawn, dict[str, Any]] = {}
    for bundle, (sample, _) in zip(_bundles(data), data.samples(), strict=True):
        if bundle:
            own = settings_of(sample.model_dump())
            found[sample.label, sample.group, sample.strategy, bundle, repr(sorted(own.items()))] = own
    return found


def _more(cells: int) -> str:
    return f" (and of {cells - 1} cells more)" if cells > 1 else ""
