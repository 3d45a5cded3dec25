"""Safetensors files as they come from others: their headers are read and checked before any weight is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from dermforge.common.regular_file import open_regular
from engines.errors import EngineError

#: Bytes of a header that safetensors reads.
LONGEST = 100_000_000


@dataclass(frozen=True)
class Entry:
    """What a header says of one tensor: its type, as safetensors names it, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def open_safetensors(path: Path) -> Any:
    """A file's tensors by name, as `safe_open` gives them.

    Raises
    ------
    EngineError
        It is damaged, or names a tensor twice.
    """
    read_header(path)
    try:
        return safe_open(path, "pt")
    except SafetensorError as error:
        raise EngineError(f"{path} is not a whole safetensors file ({error}): copy or download it again") from error


def entries(path: Path) -> dict[str, Entry]:
    """Type and shape of every tensor of a whole file, by name; no weight is read. Raises as `open_safetensors`."""
    with open_safetensors(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {name: Entry(str(one.get_dtype()), tuple(one.get_shape())) for name, one in slices.items()}


def read_header(path: Path) -> dict[str, Any]:
    """A file's header. The library takes the last of two entries of one name, and another program the first.

    Raises
    ------
    EngineError
        It is damaged, longer than safetensors allows, or has two entries of one name.
    """
    broken = f"{path} is not a whole safetensors file"
    with open_regular(path) as stream:
        first = stream.read(8)
        if len(first) < 8:
            held = f"has {len(first)} bytes" if first else "is empty, 0 bytes"
            raise EngineError(f"{broken} (it {held}): copy or download it again")
        size = int.from_bytes(first, "little")
        if size > LONGEST:
            raise EngineError(f"{broken} (its header would have {size / 1e6:.0f} MB): copy or download it again")
        text = stream.read(size)
    try:
        header = json.loads(text, object_pairs_hook=_once)
    except _Twice as error:
        raise EngineError(f"{path} has two entries of the name {error}: it is damaged, or made to mislead") from None
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{broken} (its header is no JSON): copy or download it again") from error
    if not isinstance(header, dict):
        raise EngineError(f"{broken} (its header is no JSON object): copy or download it again")
    return header


class _Twice(Exception):
    """A name that stands twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(repr(name))
        found[name] = value
    return found
