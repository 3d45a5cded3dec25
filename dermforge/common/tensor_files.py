"""Tensors in safetensors files that appear whole, carry a JSON record of what they are, and end in their digest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from dermforge.common.sealed_file import SEAL, is_reusable, write_sealed
from dermforge.common.texts_as_values import json_value

#: The tensor at the end: the sha256 of the file before it, as 64 hexadecimal digits.
DIGEST = "dermforge.sha256"

_TYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint8: "U8", torch.bool: "BOOL"},
}


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


def record(path: Path) -> dict[str, Any]:
    """The record of a file whose digest was checked (`sealed_file`)."""
    with safe_open(path, "pt") as file:
        return dict(json_value(file.metadata()["record"]))


def holds(path: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a file of a cache is there, whole, and of this record; that it is damaged is said (`DataWarning`)."""
    return is_reusable(path) and record(path) == identity


def load(path: Path) -> dict[str, Tensor]:
    """The tensors of a file whose digest was checked (`sealed_file`)."""
    tensors: dict[str, Tensor] = load_file(path)
    del tensors[DIGEST]
    return tensors


def _entry(kind: str, shape: list[int], start: int, size: int) -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, start + size]}
