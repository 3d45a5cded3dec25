"""What is known of a pipeline beside its parts: what it was tuned on, its prompts and classes, its files' digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engines.checkpoint.folder import read_json

#: The file in a pipeline's folder.
FACTS = "dermforge.json"


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts of a folder, none where it has no such file. Raises as `read_json`."""
    return read_json(folder / FACTS) if (folder / FACTS).exists() else {}


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the facts of a private folder, which is read at once and removed."""
    (folder / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
