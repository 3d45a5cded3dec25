"""Tensors in safetensors files that appear whole, and carry a JSON record of what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dermforge.common.atomic import sync_folder
from dermforge.common.texts_as_values import json_value


def write(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write, flush to the disk, rename."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    contiguous = {k: v.detach().contiguous() for k, v in tensors.items()}
    try:
        save_file(contiguous, temporary, metadata={"record": json.dumps(record, sort_keys=True)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def record(path: Path) -> dict[str, Any] | None:
    """The record of a file, or None where there is no such file or it is damaged."""
    try:
        with safe_open(path, "pt") as file:
            return dict(json_value((file.metadata() or {}).get("record", "{}")))
    except (FileNotFoundError, SafetensorError, ValueError, TypeError):
        return None
