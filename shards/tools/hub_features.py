"""The columns of a shard set for Hugging Face's `datasets`, which would guess them from the first five samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Any, get_args, get_origin

import numpy as np

from shards.format.reader import ShardSet
from shards.format.schema import Sample

WORDS = {str: "string", int: "int64", float: "float64"}


def features(data: ShardSet) -> list[dict[str, Any]]:
    """Columns of a set's samples, as `dataset_info` of a dataset card lists them.

    A value that is missing in the first samples has its type, and a key that only later samples have is there.
    """
    firsts = np.flatnonzero(~data.rows["shard"].duplicated())
    params = [data.at(int(first), verify=False)[0].params for first in firsts]
    held: dict[str, Iterable[Mapping[str, Any] | None]] = {
        "attributes": data.rows["attributes"],
        "scores": data.rows["scores"],
        "params": params,
    }
    record = [_column(name, data=held.get(name, ())) for name in Sample.model_fields]
    return [
        {"name": "cls", "dtype": "int64"},
        {"name": "json", "struct": sorted(record, key=lambda column: str(column["name"]))},
        *({"name": ext, "dtype": "image"} for ext in sorted({r.ext for s in data.sidecars for r in s.samples})),
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
    ]


def _column(name: str, data: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """One field of a sample's record; data: the values of a field that holds keys of its own."""
    field = Sample.model_fields[name]
    words = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not NoneType]
    kind = words[0]
    alias = str(field.serialization_alias or name)
    if get_origin(field.annotation) is dict:
        keys: dict[str, set[type]] = {}
        for value in data:
            for key, held in (value or {}).items():
                keys.setdefault(key, set()).add(type(held))
        return {"name": alias, "struct": [{"name": key, "dtype": _widest(keys[key])} for key in sorted(keys)]}
    if get_origin(kind) is tuple:
        return {"name": alias, "list": WORDS[get_args(kind)[0]]}
    return {"name": alias, "dtype": WORDS.get(kind, "string")}


def _widest(kinds: set[type]) -> str:
    """The type that holds values of all kinds."""
    return next((WORDS[kind] for kind in (str, float, int) if kind in kinds), "string")
