"""Tensors in safetensors files that appear whole, carry a JSON record of what they are, and end in their digest."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dermforge.common.errors import DataWarning
from dermforge.common.sealed_file import AGAIN, SEAL, Damaged, mapped, write_sealed
from dermforge.common.texts_as_values import json_value

#: The tensor at the end: the sha256 of the file before it, as 64 hexadecimal digits.
DIGEST = "dermforge.sha256"

_TYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint8: "U8", torch.bool: "BOOL"},
}
_KINDS = {name: kind for kind, name in _TYPES.items()}


def write(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write, flush to the disk, rename. Tensors may be on any device; one at a time is in memory."""
    ordered = dict(sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])))  # each is aligned
    header: dict[str, Any] = {"__metadata__": {"record": json.dumps(record, sort_keys=True)}}
    end = 0
    for name, value in ordered.items():
        header[name] = _entry(_TYPES[value.dtype], list(value.shape), end, value.nbytes)
        end += value.nbytes
    header[DIGEST] = _entry("U8", [SEAL], end, SEAL)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def parts() -> Iterator[bytes | memoryview]:
        yield len(text).to_bytes(8, "little") + text
        for value in ordered.values():
            yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data

    write_sealed(path, parts())


def read(path: Path, remedy: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The record and the tensors, mapped from the file whose digest was checked: from one opening of it.

    Raises
    ------
    Damaged
        The file is not as it was written; `remedy` says what to do.
    """
    content = mapped(path, remedy)
    start = 8 + int.from_bytes(content[:8], "little")
    header = json_value(content[8:start].decode())
    record = dict(json_value(header.pop("__metadata__")["record"]))
    del header[DIGEST]
    return record, {name: _tensor(content, start, entry) for name, entry in header.items()}


def cached(path: Path, identity: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """The tensors of a file of a cache, if it has this record; that it is there and damaged is said (`DataWarning`)."""
    if not path.exists():
        return None
    try:
        record, tensors = read(path, AGAIN)
    except Damaged as error:
        warnings.warn(str(error), DataWarning, stacklevel=2)
        return None
    return tensors if record == identity else None


def _tensor(content: Any, start: int, entry: Mapping[str, Any]) -> Tensor:
    kind, shape, (begin, _) = _KINDS[entry["dtype"]], entry["shape"], entry["data_offsets"]
    if not math.prod(shape):
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(content, dtype=kind, count=math.prod(shape), offset=start + begin).reshape(shape)


def _entry(kind: str, shape: list[int], start: int, size: int) -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, start + size]}
