"""Names of photographs and patients that stand in clear in what is about to be published."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dermforge.common import id_ranges

#: What `shards make --hash-ids` makes of a name.
HIDDEN = re.compile(r"x[0-9a-f]{24}")
#: Ids of drawn phantoms, which show no patient.
_PHANTOM = "phantom-"


def in_clear(entries: Iterable[str | None]) -> list[str]:
    """Those of the ids, clusters or entries of a lineage that were not hashed; sorted, each once."""
    names = id_ranges.known({entry for entry in entries if entry})
    return sorted(name for name in names if not HIDDEN.fullmatch(name) and not is_phantom(name))


def is_phantom(entry: str) -> bool:
    """Whether an id, or a range of ids, is of drawn phantoms."""
    return entry.startswith(_PHANTOM)


def warning(names: list[str], where: str) -> str:
    """What to tell whoever may publish the files."""
    few = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    return (
        f"{where} holds {len(names)} names of photographs or patients in clear ({few}): make sure that they identify "
        "nobody before you publish it; `shards make --hash-ids` hides them from the beginning"
    )
