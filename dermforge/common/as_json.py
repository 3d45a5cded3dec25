"""Values as JSON takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any


def plain(value: Any) -> Any:
    """Dataclasses as mappings, numpy's numbers and arrays as Python's, what is not finite as None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(v) for v in value]
    return value


def document(value: Any, indent: int = 2) -> str:
    """One JSON document, keys sorted, what is not finite as null."""
    return json.dumps(plain(value), sort_keys=True, indent=indent, allow_nan=False) + "\n"
