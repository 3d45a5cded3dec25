"""Copy chosen images into new shards, encoded as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from dermforge.common.errors import UserError
from shards.format.images import image_format
from shards.format.provenance import Provenance
from shards.format.reader import ImageSet, ShardSet
from shards.format.schema import Sample, Sidecar, check_name
from shards.format.withdrawn import Withdrawn
from shards.format.writer import finish_set, write_shard
from shards.storage.claim import claimed_set
from shards.storage.location import Storage

Scores = Mapping[str, Mapping[str, float]]
Edit = Callable[[Sample, bytes], bytes]


def select(
    data: ImageSet,
    out: str | Path,
    name: str = "selected",
    *,
    shard_size: int = 1000,
    scores: Scores | None = None,
    edit: Edit | None = None,
    tick: Callable[[int], None] | None = None,
) -> list[Sidecar]:
    """Copy the images of a view into new shards, in order of their ids; the records of withdrawn images go along.

    A new shard holds images of one provenance only, so that its plan, bundle and model digests and its lineage are
    true of every image in it.

    Parameters
    ----------
    data
        What to keep, as `data.where(ids=...)` gives it; shards or a plain folder.
    out
        Folder or fsspec address.
    scores
        Id -> name -> value, added to the scores that the samples have.
    edit
        Makes of an encoded image what is written in its place, such as the same one with a signature.
    tick
        Called with 1 after each image.

    Raises
    ------
    UserError
        The view is empty, `out` holds other files than shards of this name, or another process is writing there.
    """
    if not data.n:
        raise UserError(f"no image of {data} meets the conditions; loosen them")
    check_name(name)
    with claimed_set(out, name) as where:
        return _copied(data, out, where, name, shard_size, scores or {}, edit, tick)


def _copied(
    data: ImageSet,
    out: str | Path,
    where: Storage,
    name: str,
    shard_size: int,
    scores: Scores,
    edit: Edit | None,
    tick: Callable[[int], None] | None,
) -> list[Sidecar]:
    if isinstance(data, ShardSet):
        Withdrawn.of(data.storage).copy_to(where)
    by_provenance: dict[Provenance, list[int]] = {}
    for position in data.rows["id"].argsort().tolist():
        by_provenance.setdefault(data.provenance(position), []).append(position)
    sidecars: list[Sidecar] = []
    for source, positions in by_provenance.items():
        provenance = replace(source, lineage=tuple(sorted(source.lineage)))
        for start in range(0, len(positions), shard_size):
            items = _items(data, positions[start : start + shard_size], scores, edit, tick)
            sidecars.append(write_shard(out, name, len(sidecars), items, classes=data.classes, provenance=provenance))
    finish_set(out, name, len(sidecars))
    return sidecars


def _items(
    data: ImageSet, positions: list[int], scores: Scores, edit: Edit | None, tick: Callable[[int], None] | None
) -> Iterator[tuple[Sample, bytes, str]]:
    for position in positions:
        sample, image = data.at(position)
        if sample.id in scores:
            sample = sample.model_copy(update={"scores": sample.scores | dict(scores[sample.id])})
        if edit:
            image = edit(sample, image)
        yield sample, image, image_format(image)
        if tick:
            tick(1)
