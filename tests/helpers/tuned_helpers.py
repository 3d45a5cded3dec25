"""A pipeline folder with the record that `gen finetune` writes, without the tuning."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from dermforge.common.sealed_file import sealed_json
from engines.facts import FACTS
from engines.pipeline_spec import file_digests

HASHED = ["x0123456789abcdef01234567", "x0123456789abcdef01234568"]


def tuned(pipeline: Path, folder: Path, lineage: list[str] = HASHED, **facts: Any) -> Path:
    """A copy of a pipeline that says what it was tuned on; its files are digested."""
    shutil.copytree(pipeline, folder)
    (folder / FACTS).unlink(missing_ok=True)
    said = {"lineage": lineage, "classes": ["plaque", "ulcer"], **facts}
    (folder / FACTS).write_bytes(sealed_json(json.dumps({**said, "files": file_digests(folder)}, indent=1)))
    return folder
