"""Only a folder that this user made, and nobody else can write to, is private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dermforge.common.errors import UserError
from dermforge.common.private_folder import private_folder


def test_a_new_folder_is_for_its_owner_alone_and_used_again(tmp_path: Path) -> None:
    made = private_folder(tmp_path / "a" / "b", "")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    (made / "kept").touch()
    assert (private_folder(made, "") / "kept").exists()


@pytest.mark.parametrize("what", ["link", "broken link", "file", "open folder"])
def test_what_others_may_have_made_is_refused(what: str, tmp_path: Path) -> None:
    path, other = tmp_path / "x", tmp_path / "other"
    other.mkdir()
    if what == "link":
        path.symlink_to(other)
    elif what == "broken link":
        path.symlink_to(tmp_path / "nowhere")
    elif what == "file":
        path.touch()
    else:
        path.mkdir()
        path.chmod(0o777)
    with pytest.raises(UserError, match="expected a private folder: do this"):
        private_folder(path, "do this")
    assert not list(other.iterdir())
