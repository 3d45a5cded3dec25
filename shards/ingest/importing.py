"""Finds the images of other tools and data sets: folders with tables, webdataset tars, Hugging Face folders."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
from pydantic import ValidationError

from dermforge.common.errors import UserError
from dermforge.common.tables import SUFFIXES, as_text, read_table
from shards.format import tar
from shards.format.images import MAX_BYTES
from shards.ingest.naming import ALIASES, IMAGE_SUFFIXES, ImageFiles, find_table, names_files, split_and_class, split_of

#: The columns of well-known data sets.
PRESETS: dict[str, dict[str, str]] = {
    "fitzpatrick17k": {"file": "md5hash", "class": "label", "group": "fitzpatrick_scale"},
    "ddi": {"file": "DDI_file", "class": "disease", "group": "skin_tone"},
    "pad-ufes-20": {"file": "img_id", "class": "diagnostic", "group": "fitspatrick", "cluster": "patient_id"},
}
#: A second rater's skin type becomes an attribute with this name.
_RENAMED = {"fitzpatrick_centaur": "fst_b"}
#: The members of a tar that are used.
_MEMBERS = ("jpg", "jpeg", "png", "webp", "json", "cls")


@dataclass
class FoundImage:
    """One image before it is checked.

    Attributes
    ----------
    facts
        Class, group, cluster, split, origin and attributes, as far as the source gives them.
    data
        The encoded image, or the file that holds it.
    problem
        Why there is no image; "" if there is one.
    """

    name: str
    facts: dict[str, Any]
    data: bytes | Path = b""
    problem: str = ""


def find(source: Path, table: Path | None, preset: str | None, columns: dict[str, str]) -> Iterator[FoundImage]:
    """Find every image of a folder in one of the known layouts.

    Parameters
    ----------
    table
        The table that describes the images; None looks for one.
    preset
        A key of `PRESETS`.
    columns
        Our name of a column -> its name in the table; these override the preset.

    Raises
    ------
    UserError
        The layout is not a known one, or a file of it is damaged.
    """
    if preset is not None and preset not in PRESETS:
        raise UserError(f"preset {preset!r}; expected {', '.join(PRESETS)}")
    if not source.is_dir():
        raise UserError(f"{source} is not a folder; expected images, webdataset tars or a Hugging Face folder")
    chosen = PRESETS.get(preset or "", {}) | columns
    if table or (table := find_table(source, chosen.get("file"))):
        yield from _by_table(source, table, chosen)
    elif tables := [p for p in sorted(source.rglob("metadata.*")) if p.suffix in SUFFIXES and names_files(p)]:
        for one in tables:
            yield from _by_table(one.parent, one, chosen, one.parent.relative_to(source).parts)
    elif tars := sorted(source.glob("*.tar")):
        yield from _by_tars(tars)
    elif tables := sorted([*source.rglob("*.parquet"), *source.rglob("*.arrow")]):
        yield from _by_arrow(tables, chosen)
    elif chosen:
        raise UserError(
            f"no table in {source} names image files in a column {chosen.get('file', 'file')!r}; name the table to use"
        )
    else:
        yield from _by_folders(source)


def tidy(column: str, value: str | None) -> str | None:
    """Remove ".0" from whole numbers; skin types "-1" and "unknown" become None."""
    if value is None or (column == "group" and value.strip().lower() in ("-1", "-1.0", "unknown", "nan", "")):
        return None
    return re.sub(r"^(-?\d+)\.0$", r"\1", value.strip())


def _by_table(source: Path, path: Path, chosen: dict[str, str], inside: tuple[str, ...] = ()) -> Iterator[FoundImage]:
    """The images that a table lists, and those of its folder that it does not; `inside` is the path to the folder."""
    table = as_text(read_table(path))
    columns = _columns(path, table, chosen)
    files, listed = ImageFiles(source), set[Path | None]()
    used = {name for name in columns.values() if name}
    split = split_of(*inside)
    for values in table.itertuples(index=False):
        row = dict(zip(table.columns, values, strict=True))
        name = row[str(columns["file"])] or ""
        try:
            file, problem = files.find(name), "there is no such image file"
        except UserError as error:
            file, problem = None, str(error)
        facts: dict[str, Any] = {ours: tidy(ours, row[theirs]) for ours, theirs in columns.items() if theirs}
        facts["attributes"] = {
            _RENAMED.get(key, key): text
            for key, value in row.items()
            if key not in used and (text := tidy("group" if key in _RENAMED else key, value)) is not None
        }
        facts["split"] = split_of(facts.get("split")) or facts.get("split") or split
        if not columns["class"] and file and file.parent != files.folder:
            facts["class"] = file.parent.name
        called = files.name(file, name) if file else Path(name).stem or "unnamed"
        found = FoundImage(facts.get("id") or "-".join([*inside, called]), facts)
        listed.add(file)
        yield replace(found, data=file) if file else replace(found, problem=problem)
    for file in files.paths:
        if file not in listed:
            yield FoundImage(
                "/".join([*inside, *file.relative_to(files.folder).parts]), {}, problem=f"{path.name} does not list it"
            )


def _columns(path: Path, table: pd.DataFrame, chosen: dict[str, str]) -> dict[str, str | None]:
    """Our name of each column -> its name in the table. Only metadata of Hugging Face may lack the class."""
    columns = {
        ours: chosen.get(ours) or next((name for name in names if name in table.columns), None)
        for ours, names in ALIASES.items()
    }
    needed = ("file",) if path.stem == "metadata" else ("file", "class")
    for ours, theirs in columns.items():
        if (theirs is None and ours in needed) or (theirs is not None and theirs not in table.columns):
            raise UserError(
                f"{path} has no column {theirs or ours!r} for the {ours} (it has "
                f"{', '.join(table.columns)}); name the column to use"
            )
    return columns


def _by_folders(source: Path) -> Iterator[FoundImage]:
    for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES):
        split, label = split_and_class(path.relative_to(source).parts[:-1])
        name = "-".join(path.relative_to(source).with_suffix("").parts)
        yield FoundImage(name, {"class": label, "split": split, "attributes": {}}, path)


def _by_tars(tars: list[Path]) -> Iterator[FoundImage]:
    for path in tars:
        split = split_of(*path.stem.split("-"))
        for key, members in groupby(_members(path), key=lambda member: member[0]):
            contents, problems = {}, []
            for _, ext, content in members:
                if isinstance(content, bytes):
                    contents[ext] = content
                else:
                    problems.append(f"its {ext} says it has {content} bytes; at most {MAX_BYTES} are read")
            yield _from_members(key, contents, split, "; ".join(problems))


def _members(path: Path) -> Iterator[tuple[str, str, bytes | int]]:
    """Key, extension and content of each useful member, with keys as in webdataset; of one too large, its size.

    Raises
    ------
    UserError
        The tar is damaged or truncated. `tarfile` and webdataset would stop silently at a bad header.
    """
    with path.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:  # read in place: nothing is ever extracted
                for member in archive:
                    folder, _, base = member.name.removeprefix("./").rpartition("/")
                    stem, _, ext = base.partition(".")
                    if not member.isfile() or ext.lower() not in _MEMBERS:
                        continue
                    key = f"{folder}/{stem}" if folder else stem
                    if member.size > MAX_BYTES:
                        yield key, ext.lower(), member.size
                    elif inside := archive.extractfile(member):
                        yield key, ext.lower(), inside.read()
                end = archive.offset
        except (tarfile.TarError, EOFError) as error:
            raise UserError(f"{path} is not a whole tar: {error}; repair it with the tool that wrote it") from error
        file.seek(end)
        if file.read(tar.BLOCK) != bytes(tar.BLOCK):
            raise UserError(
                f"{path} is not a whole tar: expected the end of the archive at byte {end}, but it was truncated "
                "or damaged there; repair it with the tool that wrote it"
            )


def _from_members(key: str, members: dict[str, bytes], split: str | None, problem: str) -> FoundImage:
    try:
        said = json.loads(members.get("json", b"{}"))
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    if said.get("origin") == "synthetic":
        raise UserError(f"{key} is synthetic, but only real images can be imported; copy shards with `shards select`")
    words = {k: str(v) for k, v in said.items() if isinstance(v, str | int | float)}
    facts = _facts(words, {}, without=("file", "id"))
    facts["class"] = facts["class"] or members.get("cls", b"").decode(errors="replace").strip() or None
    facts["split"] = facts["split"] or split
    facts["origin"] = words.pop("origin") if words.get("origin") in ("real", "phantom") else None
    data = next((members[ext] for ext in ("jpg", "jpeg", "png", "webp") if ext in members), b"")
    return FoundImage(key, facts, data, problem or ("" if data else "there is no image among its members"))


def _by_arrow(paths: list[Path], chosen: dict[str, str]) -> Iterator[FoundImage]:
    for path in paths:
        split = split_of(*re.split(r"[-_/]", f"{path.parent.name}/{path.stem}"))
        for number, (row, names) in enumerate(_arrow_rows(path)):
            image = next((v for v in row.values() if isinstance(v, dict) and "bytes" in v), None)
            if image is None:
                raise UserError(f"{path} has no column of images; expected a Hugging Face image column (bytes, path)")
            words = {k: names.get(k, {}).get(v, str(v)) for k, v in row.items() if isinstance(v, str | int | float)}
            facts = _facts(words, chosen)
            facts["split"] = facts["split"] or split
            name = facts["id"] or Path(image.get("path") or "").stem or f"{path.stem}-{number:06d}"
            data = image["bytes"] or b""
            yield FoundImage(name, facts, data, "" if data else "the file holds no image bytes")


def _facts(words: dict[str, str], chosen: dict[str, str], without: Collection[str] = ()) -> dict[str, Any]:
    """What the words say by our names of columns; those without such a name are attributes."""
    facts: dict[str, Any] = {}
    for ours in ALIASES.keys() - without:
        theirs = chosen.get(ours) or next((name for name in ALIASES[ours] if name in words), "")
        facts[ours] = tidy(ours, words.pop(theirs, None))
    return facts | {"attributes": words}


def _arrow_rows(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, dict[Any, str]]]]:
    try:
        if path.suffix == ".parquet":
            file = pyarrow.parquet.ParquetFile(path)
            schema, batches = file.schema_arrow, file.iter_batches(64)
        else:
            stream = pa.ipc.open_stream(pa.memory_map(str(path)))
            schema, batches = stream.schema, stream
        names = _class_names(schema)
        for batch in batches:
            for row in batch.to_pylist():
                yield row, names
    except (pa.ArrowException, OSError, ValidationError) as error:
        raise UserError(f"cannot read {path}: {error}; expected a Hugging Face parquet or arrow file") from error


def _class_names(schema: pa.Schema) -> dict[str, dict[Any, str]]:
    features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return {
        name: dict(enumerate(feature["names"]))
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
