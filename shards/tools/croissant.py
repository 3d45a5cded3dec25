"""A description of a shard set in Croissant 1.0 (MLCommons): files with digests, records, the responsible-AI part."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import pandas as pd

from dermforge.common.digests import digest_bytes
from dermforge.common.texts_as_values import json_value
from shards.format.reader import ShardSet
from shards.format.schema import Sidecar
from shards.tools.responsible import SPECIFICATION, responsible

_CROISSANT_TERMS = """
citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset jsonPath
key md5 parentField path recordSet references regex repeated replace samplingRate separator source subField transform
"""
#: The context of the specification, complete because readers compare it.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{name: f"cr:{name}" for name in _CROISSANT_TERMS.split()},
}
#: Columns of the table next to the shards: readers of Croissant do not look into JSON inside tars.
COLUMNS = ("id", "class", "group", "origin", "split", "strategy", "parent", "cluster", "image_sha256")
FILE, TABLE = "croissant.json", "samples.csv"
MEDIA = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True)
class Description:
    """What the author says of a data set; the fields are named as in the document.

    Attributes
    ----------
    license
        Address of the licence's text.
    url
        Address of the data set.
    datePublished
        An ISO date.
    """

    name: str
    description: str
    license: str
    url: str
    version: str
    datePublished: str
    citeAs: str


def describe(data: ShardSet, table: bytes, words: Description) -> dict[str, Any]:
    """The JSON-LD document; file addresses are relative to it.

    Parameters
    ----------
    table
        The content of `samples.csv`.
    """
    ext = next(row.ext for s in data.sidecars for row in s.samples)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", SPECIFICATION],
        **asdict(words),
        **responsible(data),
        "distribution": _files(data.sidecars, table, ext),
        "recordSet": _record_sets(ext),
    }


def _files(sidecars: Sequence[Sidecar], table: bytes, ext: str) -> list[dict[str, Any]]:
    tars = [{"@id": s.tar} for s in sidecars]
    return [
        *(_file(s.tar, s.bytes, "application/x-tar", s.sha256) for s in sidecars),
        _file(TABLE, len(table), "text/csv", digest_bytes(table)),
        {
            "@type": "cr:FileSet",
            "@id": "image-files",
            "name": "image-files",
            "encodingFormat": MEDIA[ext],
            "containedIn": tars if len(tars) > 1 else tars[0],
            "includes": f"*.{ext}",
        },
    ]


def _file(name: str, size: int, media: str, digest: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{size} B",
        "encodingFormat": media,
        "sha256": digest,
    }


def _record_sets(ext: str) -> list[dict[str, Any]]:
    samples = [_field(f"samples/{key}", {"fileObject": {"@id": TABLE}, "extract": {"column": key}}) for key in COLUMNS]
    files = {"fileSet": {"@id": "image-files"}}
    stem = {"extract": {"fileProperty": "filename"}, "transform": {"regex": rf"^(.*)\.{ext}$"}}
    images = [
        _field("images/id", {**files, **stem}),
        _field("images/image", {**files, "extract": {"fileProperty": "content"}}, "sc:ImageObject"),
    ]
    return [
        _record_set("samples", "What is known of each image.", samples),
        _record_set("images", "The images, by the id of their sample.", images),
    ]


def _record_set(name: str, description: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    key = {"@id": f"{name}/id"}
    record = {"@type": "cr:RecordSet", "@id": name, "name": name, "key": key}
    return record | {"description": description, "field": fields}


def refresh(data: ShardSet) -> list[str]:
    """Update `samples.csv` and the description of a set after images were removed; the author's words are kept.

    The two files of a set without images are removed.

    Returns
    -------
    Names of the files that still describe the former set, because `shards card` did not write them.
    """
    where, names, rows = data.storage, data.storage.names(), table(data.rows)
    if TABLE in names and where.read(TABLE).splitlines()[:1] == rows.splitlines()[:1]:
        where.write(TABLE, rows) if data.n else where.remove(TABLE)
    if FILE not in names:
        return []
    content = where.read(FILE)  # outside the try: a bucket that cannot be read is a UserError, which is a ValueError
    try:
        old = json_value(content)
        words = Description(**{field.name: str(old[field.name]) for field in fields(Description)})
    except (ValueError, KeyError, TypeError):
        return [FILE]
    if is_counted(words.description):
        words = replace(words, description=counted(data.n, data.classes))
    if data.n:
        where.write(FILE, to_bytes(describe(data, rows, words)))
    else:
        where.remove(FILE)
    return []


def counted(n: int, classes: Sequence[str]) -> str:
    """The description of a set where the author gives none."""
    return f"{n} images of {', '.join(classes)}."


def is_counted(description: str) -> bool:
    """Whether a description is one that `counted` gave."""
    return re.fullmatch(r"\d+ images of .*\.", description) is not None


def to_bytes(document: dict[str, Any]) -> bytes:
    """The file's content."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def table(rows: pd.DataFrame) -> bytes:
    """What the sidecars say of each image, as CSV; empty where unknown."""
    return rows.reindex(columns=list(COLUMNS)).to_csv(index=False, lineterminator="\n").encode()


def _field(name: str, source: dict[str, Any], kind: str = "sc:Text") -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": name, "name": name, "dataType": kind, "source": source}
