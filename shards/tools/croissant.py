"""A shard set described as Croissant 1.0 (MLCommons): files with digests, and how records are read from them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from dermforge.common.digests import digest_bytes
from shards.format.reader import ShardSet
from shards.format.schema import Sidecar

#: The context that the specification prints, whole: readers compare it.
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
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs",
            "column",
            "equivalentProperty",
            "extract",
            "field",
            "fileProperty",
            "fileObject",
            "fileSet",
            "format",
            "includes",
            "isLiveDataset",
            "jsonPath",
            "key",
            "md5",
            "parentField",
            "path",
            "recordSet",
            "references",
            "regex",
            "repeated",
            "replace",
            "samplingRate",
            "separator",
            "source",
            "subField",
            "transform",
        )
    },
}
#: Columns of the table beside the shards: readers of Croissant do not look into JSON inside of tars.
COLUMNS = ("id", "class", "group", "origin", "split", "strategy", "parent", "cluster", "image_sha256")
FILE, TABLE = "croissant.json", "samples.csv"
#: What `describe` is told -> where the document has it.
_WORDS = {
    "name": "name",
    "description": "description",
    "license_url": "license",
    "url": "url",
    "version": "version",
    "published": "datePublished",
    "cite_as": "citeAs",
}
MEDIA = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


def describe(
    sidecars: Sequence[Sidecar],
    table: bytes,
    *,
    name: str,
    description: str,
    license_url: str,
    url: str,
    version: str,
    published: str,
    cite_as: str,
) -> dict[str, Any]:
    """The JSON-LD document; file addresses are relative to it.

    Parameters
    ----------
    table
        What `samples.csv` holds.
    license_url
        Of the licence's text, or its SPDX page.
    url
        Where the data set can be found.
    published
        An ISO date.
    """
    tars = [{"@id": s.tar} for s in sidecars]
    ext = next(row.ext for s in sidecars for row in s.samples)
    files: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": s.tar,
            "name": s.tar,
            "contentUrl": s.tar,
            "contentSize": f"{s.bytes} B",
            "encodingFormat": "application/x-tar",
            "sha256": s.sha256,
        }
        for s in sidecars
    ]
    files.append(
        {
            "@type": "cr:FileObject",
            "@id": TABLE,
            "name": TABLE,
            "contentUrl": TABLE,
            "contentSize": f"{len(table)} B",
            "encodingFormat": "text/csv",
            "sha256": digest_bytes(table),
        }
    )
    files.append(
        {
            "@type": "cr:FileSet",
            "@id": "image-files",
            "name": "image-files",
            "encodingFormat": MEDIA[ext],
            "containedIn": tars if len(tars) > 1 else tars[0],
            "includes": f"*.{ext}",
        }
    )
    samples = [_field(f"samples/{key}", {"fileObject": {"@id": TABLE}, "extract": {"column": key}}) for key in COLUMNS]
    of_images = {"fileSet": {"@id": "image-files"}}
    stem = {"extract": {"fileProperty": "filename"}, "transform": {"regex": rf"^(.*)\.{ext}$"}}
    images = [
        _field("images/id", {**of_images, **stem}),
        _field("images/image", {**of_images, "extract": {"fileProperty": "content"}}, "sc:ImageObject"),
    ]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": description,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "citeAs": cite_as,
        "license": license_url,
        "url": url,
        "version": version,
        "datePublished": published,
        "distribution": files,
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "samples",
                "name": "samples",
                "key": {"@id": "samples/id"},
                "description": "What is known of each image.",
                "field": samples,
            },
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "key": {"@id": "images/id"},
                "description": "The images, by the id of their sample.",
                "field": images,
            },
        ],
    }


def refresh(data: ShardSet) -> list[str]:
    """Write `samples.csv` and the description beside a set anew after images went, its words kept.

    Of a set without images nothing can be described: the files go.

    Returns
    -------
    Names of the files that still describe the former set, because they are not as `shards card` wrote them.
    """
    where, names, rows = data.place, data.place.names(), table(data.rows)
    if TABLE in names and where.read(TABLE).splitlines()[:1] == rows.splitlines()[:1]:
        where.write(TABLE, rows) if data.n else where.remove(TABLE)
    if FILE not in names:
        return []
    content = where.read(FILE)
    try:
        old = json.loads(content)
        words = {ours: str(old[theirs]) for ours, theirs in _WORDS.items()}
    except (ValueError, KeyError, TypeError):
        return [FILE]
    if re.fullmatch(r"\d+ images of .*\.", words["description"]):
        words["description"] = counted(data.n, data.classes)
    if data.n:
        where.write(FILE, to_bytes(describe(data.sidecars, rows, **words)))
    else:
        where.remove(FILE)
    return []


def counted(n: int, classes: Sequence[str]) -> str:
    """The description of a set of which nobody said more."""
    return f"{n} images of {', '.join(classes)}."


def to_bytes(document: dict[str, Any]) -> bytes:
    """The file's content."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def table(rows: pd.DataFrame) -> bytes:
    """What is known of each image without opening it, as CSV; empty where unknown."""
    return rows.reindex(columns=list(COLUMNS)).to_csv(index=False, lineterminator="\n").encode()


def _field(name: str, source: dict[str, Any], kind: str = "sc:Text") -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": name, "name": name, "dataType": kind, "source": source}
