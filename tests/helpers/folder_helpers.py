"""Replacing a folder of results, as a process of its own does it that may end anywhere."""

from __future__ import annotations

from pathlib import Path

from ends import contents

from dermforge.common import whole_folder as module
from dermforge.common.console import new_app, run

NEW = {"weights": b"new" * 4000, "part/": b"", "part/config": b"new"}


def replace(folder: Path) -> None:
    """Write FOLDER/out anew."""
    app = new_app("replace")

    @app.command()
    def command() -> None:
        module.recover(folder / "out")
        with module.whole_folder(folder / "out") as partial:
            for name, content in sorted(NEW.items()):
                (partial / name).mkdir() if name.endswith("/") else (partial / name).write_bytes(content)

    run(app)


def replace_by_two_renames(folder: Path) -> None:
    """The same where the system cannot exchange two names."""
    module._exchange = lambda a, b: False
    replace(folder)


def is_there(folder: Path, name: str, states: list[dict[str, bytes]]) -> bool:
    """Whether FOLDER/NAME is in one of these states; it counts where it has lost its name in between."""
    places = [folder / name, *sorted(folder.glob(f".{name}.whole-*"))]
    return contents(next((place for place in places if place.exists()), folder / name)) in states
