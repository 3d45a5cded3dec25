"""A working folder with files that any Python would run if it looked there for modules."""

from __future__ import annotations

from pathlib import Path

NAMES: tuple[str, ...] = (
    "gen",
    "shards",
    "evalsuite",
    "bench",
    "engines",
    "dermforge",
    "sitecustomize",
    "usercustomize",
)
NAMES += ("json", "pickle", "random", "multiprocessing", "typer", "numpy", "torch", "ray", "PIL")


def plant(folder: Path, marker: Path) -> None:
    """Modules that write their name into `marker` and end the process."""
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write({name!r} + '\\n')\nraise SystemExit(7)\n")
