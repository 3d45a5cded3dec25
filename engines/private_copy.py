"""Private copies of a bundle's files: what a library opens is what was hashed.

Libraries open files by name, some after the bundle was loaded, and look for others beside them. A file that was hashed
could be exchanged before it is opened. See docs/decisions/0044-bundles-are-opened-from-private-copies.md.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dermforge.common.atomic import is_locked, locked
from dermforge.common.errors import UserError
from dermforge.common.private_folder import private_folder
from engines.bundle import Bundle
from engines.errors import EngineError
from engines.manifest import Artefact


@contextmanager
def private_copy(bundle: Bundle, artefacts: Iterable[Artefact]) -> Iterator[Path]:
    """A folder in which only this user's processes can do anything, with copies of files that were hashed as copied.

    The folder lies where temporary files do (`TMPDIR`) and is removed in the end. On Linux what is still open or mapped
    then stays usable.

    Raises
    ------
    EngineError
        A file is missing or altered, or there is no room.
    """
    wanted = list(artefacts)
    with own_folder() as folder:
        try:
            for artefact in wanted:
                path = folder / artefact.path
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as copy:
                    for piece in bundle.pieces(artefact):
                        copy.write(piece)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise EngineError(
                f"no room in {folder.parent} for a private copy of {bundle.folder}'s files, "
                f"{sum(a.bytes for a in wanted) / 1e9:.1f} GB: set TMPDIR to a folder on a larger disk"
            ) from error
        yield folder


@contextmanager
def derived_folder(model: Path, name: str) -> Iterator[Path]:
    """The path of a folder, not made yet, for a pipeline that is made of a model.

    A message that names something in it names what that was made of instead: the folder is gone when it is read.
    """
    with own_folder() as place:
        folder = place / "derived" / name
        try:
            yield folder
        except UserError as error:
            error.args = (_with_own_names(str(error), folder, model),)
            raise


def _with_own_names(message: str, folder: Path, model: Path) -> str:
    """A message with the targets of the folder's links, and the model, in the place of what is in the folder."""
    if str(folder) not in message:
        return message
    for link in filter(Path.is_symlink, folder.rglob("*")):
        target = str(link.readlink()).replace("\\", r"\\")  # as a template of re.sub has it
        message = re.sub(re.escape(str(link)) + r"(?![\w-])", target, message)
    return message.replace(str(folder), str(model))


@contextmanager
def own_folder() -> Iterator[Path]:
    """An empty folder that its process locks. Those of dead processes are removed."""
    place = Path(tempfile.gettempdir()) / f"dermforge-{os.geteuid()}-bundles"
    private_folder(place, "remove it, or set TMPDIR to another folder")
    with ExitStack() as stack:
        with locked(place):  # else a new folder could be taken for one that was left, before it has its lock
            for left in place.iterdir():
                if not is_locked(left):
                    shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(dir=place))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.enter_context(locked(folder))
        yield folder
