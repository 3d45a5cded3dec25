"""What is known of a pipeline beside its parts: what it was tuned on, its prompts and classes, its files' digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from dermforge.common.errors import first_fault
from engines.checkpoint.folder import read_json
from engines.errors import EngineError

#: The file in a pipeline's folder.
FACTS = "dermforge.json"


class _Adapter(BaseModel):
    sha256: str


class _Facts(BaseModel):
    """The facts that are read before `engines.pipeline_spec` looks at all of them."""

    model_config = ConfigDict(strict=True)

    lineage: list[str] = []
    lineage_sha256: dict[str, str] = {}
    phantom: bool = False
    adapters: list[_Adapter] = []


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts of a folder, none where it has no such file.

    Raises
    ------
    EngineError
        The file is damaged, or a fact is of another shape: names it.
    """
    path = folder / FACTS
    facts = read_json(path) if path.exists() else {}
    try:
        _Facts.model_validate(facts)
    except ValidationError as error:
        raise EngineError(f"{path} is not as it was written ({first_fault(error)}): restore it") from error
    return facts


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the facts of a private folder, which is read at once and removed."""
    (folder / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
