"""Held-out images stay unseen by the generators behind the synthetic images, and marked images are not real."""

from __future__ import annotations

from pathlib import Path

import shards
from evalsuite.training.data import lineage_guard as guard
from evalsuite.training.data import other_sets
from evalsuite.training.data.datasets import Data
from evalsuite.training.data.generators import generators
from shards.ingest.refuse_marked import refuse_marked
from shards.mixing.tensors import TensorSet


def check_held_out(data: Data, allow: bool) -> list[str]:
    """Refuse marked images among the real ones, and a generator that saw held-out ones; the allowed leaks as text."""
    for name in ("train", "validation", "test", "external"):
        for images in data.parts[name].sets if name in data.parts else ():
            refuse_marked(images, f"real {name} images")
    made = [part for part in (data.synthetic, data.untuned) if part is not None]
    parents = {name for part in made for name in part.rows["parent"].dropna()} - {""}
    train = None if data.train.holds_features else data.train
    held_out = {name: part for name, part in data.parts.items() if name in ("validation", "test", "external")}
    leaks = guard.held_out_leaks([*data.lineage, *data.untuned_lineage], parents, held_out, train) if made else []
    return guard.refuse([*leaks, *other_sets.near_external(data.external, train)], allow)


def check_unseen(synthetic: Path, validation: Path, train: Path, allow: bool) -> list[str]:
    """As `check_held_out`, for validation images that judge synthetic ones without a classifier."""
    made = shards.open_data(synthetic)
    seen, _ = generators([made])
    parents = set(made.rows["parent"].dropna()) - {""}
    held_out, known = (TensorSet([shards.open_data(place)], guard.SIDE) for place in (validation, train))
    leaks = guard.held_out_leaks([one for lineage in seen for one in lineage], parents, {"validation": held_out}, known)
    return guard.refuse(leaks, allow)
