"""Which parts of a folder that is being written are finished: a stopped job goes on with those that it left so.

The digests stand in a file beside the folder (`whole_folder` with a job), since the folder holds nothing but results.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dermforge.common.atomic import write_whole
from dermforge.common.digests import digest_file, digest_files
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import opened_json, sealed_json
from dermforge.common.texts_as_values import json_value


def record_of(folder: Path) -> Path | None:
    """The file of the digests; None for a folder that no job could go on with."""
    name = re.sub(r"\.partial-[0-9]+-(\w+)\Z", r".parts-\1", folder.name)
    return None if name == folder.name else folder.with_name(name)


def note(folder: Path, part: str) -> None:
    """Write down that a file or a folder of files in the folder is finished."""
    if (record := record_of(folder)) is not None:
        known = _known(record) | {part: _digest(folder / part)}
        write_whole(record, sealed_json(json.dumps(known)), fsync=False)


def holds(folder: Path, part: str) -> bool:
    """Whether a part was noted as finished, and every byte of it is as it was then."""
    record = record_of(folder)
    if record is None or not (folder / part).exists():
        return False
    return bool(_known(record).get(part) == _digest(folder / part))


def _known(record: Path) -> dict[str, Any]:
    """Digests by part; none where there is no record, or a damaged one."""
    try:
        return dict(json_value(opened_json(read_regular(record), record, "")))
    except (FileNotFoundError, ValueError):
        return {}


def _digest(path: Path) -> str:
    return digest_file(path) if path.is_file() else digest_files(path, (p for p in path.rglob("*") if p.is_file()))
