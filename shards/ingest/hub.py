"""Parquet and arrow files that hold their images, as Hugging Face's `datasets` writes them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from dermforge.common.decoding import decoding
from dermforge.common.errors import UserError
from dermforge.common.missing import is_missing, is_missing_code
from dermforge.common.texts_as_values import json_value
from shards.ingest.files.found import FoundImage
from shards.ingest.files.walk import File
from shards.ingest.tables.columns import ALIASES, Chosen, column_of, facts_of, folded, tidy
from shards.ingest.tables.join import without_suffix
from shards.ingest.tables.skin_types import Notation
from shards.ingest.tables.splits import split_of

#: Names of the column with the picture, where there are several.
_PICTURES = ("image", "img", "picture", "photo", "jpg", "png", "bytes")


def holds_images(file: File) -> bool:
    """Whether a parquet file has a column of encoded pictures.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    with decoding(f"cannot read the table {file.path}", "write it again, or move it away"):
        return bool(_pictures(pyarrow.parquet.read_schema(file.path)))


def skin_types_of(file: File, chosen: Chosen) -> Counter[tuple[str, str]]:
    """How often each skin type occurs, by the column's name and the value; no picture is read.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    with _decoding(file):
        schema = _open(file)[0]
        column = column_of(schema.names, "group", chosen)
        if column is None:
            return Counter()
        names = _class_names(schema).get(column)
        batches = _open(file, [column])[1]
        values = (tidy("group", _word(value, names)) for batch in batches for value in batch.column(column).to_pylist())
        return Counter((column, value) for value in values if value is not None)


def rows_of(file: File, chosen: Chosen, notation: Notation | None = None) -> Iterator[FoundImage]:
    """The image in each row.

    Parameters
    ----------
    chosen
        Our name of a column -> its names in the table; `file` is the column of pictures.
    notation
        Of the skin types; None leaves them as they are.

    Raises
    ------
    UserError
        The file cannot be read, has no column of pictures, or several and none that is called image.
    """
    split = split_of(*re.split(r"[-_/.]", "/".join([*file.parts[-1:], PurePosixPath(file.place).stem])))
    with _decoding(file):
        schema, batches = _open(file)
        picture = _picture_column(file, schema, chosen)
        names = _class_names(schema)
        columns = {ours: column_of(schema.names, ours, chosen) for ours in ALIASES.keys() - {"file"}}
        for number, row in enumerate(row for batch in batches for row in batch.to_pylist()):
            found = _image(file, number, row, picture, names, columns, split)
            if notation:
                found.facts["group"] = notation.of(columns["group"], found.facts.get("group"))
            yield found


def _decoding(file: File) -> AbstractContextManager[None]:
    return decoding(f"cannot read {file.path}", "expected a Hugging Face parquet or arrow file")


def _image(
    file: File,
    number: int,
    row: dict[str, Any],
    picture: str,
    names: Mapping[str, Mapping[Any, str]],
    columns: Mapping[str, str | None],
    split: str | None,
) -> FoundImage:
    held = row.pop(picture)
    held = held if isinstance(held, dict) else {"bytes": held}
    words = {key: _word(value, names.get(key)) for key, value in row.items()}
    facts = facts_of(words, columns)
    facts["class"] = None if is_missing_code(facts.get("class")) else facts["class"]
    facts["split"] = facts.get("split") or split
    path, data = str(held.get("path") or ""), held.get("bytes") or b""
    name = facts.get("id") or without_suffix(PurePosixPath(path).name) or f"{file.path.stem}-{number:06d}"
    problem = "" if data else "the file holds no image bytes"
    return FoundImage(name, facts, data, problem, place=f"{file.place}, row {number}")


def _word(value: Any, names: Mapping[Any, str] | None) -> str | None:
    """A cell as text; the number of a class as its name, which is missing for -1."""
    if is_missing(value):
        return None
    if names is not None:
        return names.get(value)
    if isinstance(value, bytes):
        return None
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _open(file: File, columns: Sequence[str] | None = None) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema and the rows, with some columns or all (an arrow file gives all)."""
    if file.path.suffix.casefold() == ".parquet":
        table = pyarrow.parquet.ParquetFile(file.path)
        return table.schema_arrow, table.iter_batches(64, columns=columns)
    stream = pa.ipc.open_stream(pa.memory_map(str(file.path)))
    return stream.schema, iter(stream)


def _pictures(schema: pa.Schema) -> list[str]:
    def holds(kind: pa.DataType) -> bool:
        if pa.types.is_struct(kind):
            return "bytes" in [kind.field(i).name for i in range(kind.num_fields)]
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    return [field.name for field in schema if holds(field.type)]


def _picture_column(file: File, schema: pa.Schema, chosen: Chosen) -> str:
    columns = _pictures(schema)
    if named := next((name for name in chosen.get("file", ()) if name in columns), None):
        return named
    if not columns:
        raise UserError(f"{file.path} has no column of images; expected a Hugging Face image column (bytes, path)")
    known = [name for wanted in _PICTURES for name in columns if folded(name) == wanted]
    if len(columns) > 1 and not known:
        raise UserError(
            f"{file.path} has several columns of images ({', '.join(columns)}); name the one to use as the file column"
        )
    return (known or columns)[0]


def _class_names(schema: pa.Schema) -> dict[str, dict[Any, str]]:
    features = json_value((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return {
        name: dict(enumerate(feature["names"]))
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
