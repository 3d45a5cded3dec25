"""What the hub lists, and what is said where it does not answer."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hub_state import TOKEN, Hub
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.hub import HubFile, asking, connect, find, git_id, refuse_escapes
from dermforge.common.hub_address import HubAddress

ADDRESS = HubAddress("model", "me/a")


def test_a_small_file_has_the_id_that_git_gives_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"some\0bytes")
    done = subprocess.run(["git", "hash-object", tmp_path / "a"], capture_output=True, text=True, check=True)
    assert git_id(b"some\0bytes") == done.stdout.strip()


def test_a_file_is_alike_by_size_and_digest(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    large, small = hashlib.sha256(b"abc").hexdigest(), git_id(b"abc")
    assert HubFile(3, large).is_like(path)
    assert HubFile(3, small).is_like(path)
    assert not HubFile(4, large).is_like(path)
    assert not HubFile(3, git_id(b"abd")).is_like(path)
    assert not HubFile(3, large).is_like(tmp_path / "b")


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b\\c", "\0", "\n"]), min_size=1, max_size=4))
def test_only_plain_names_pass(parts: list[str]) -> None:
    name = "/".join(parts)
    if set(parts) == {"a"}:
        refuse_escapes(ADDRESS, [name])
    else:
        with pytest.raises(CheckFailed, match="no plain name"):
            refuse_escapes(ADDRESS, [name])


def test_long_lists_are_read_to_their_end(hub: Hub) -> None:
    api = connect()
    api.create_repo("me/a", private=True)
    hub.model("me/a").change(**{f"{i:03d}.txt": b"x" for i in range(70)})
    found = find(api, ADDRESS)
    assert found is not None
    assert found.private
    assert len(found.files) == 71


def test_what_is_not_of_the_hub_passes() -> None:
    """A full disk and a mistake of ours are not the network's fault."""
    for error in (OSError(28, "No space left on device"), KeyError("x"), CheckFailed("y")):
        with pytest.raises(type(error)), asking(ADDRESS):
            raise error


def test_no_token_and_no_address_is_in_a_message(hub: Hub) -> None:
    """Not even where a server sends them back."""
    hub.status, hub.words = 400, f"bad {TOKEN} at https://cdn.example.org/a?signature=secret"
    with pytest.raises(UserError) as said:
        find(connect(), ADDRESS)
    assert "bad ... at ..." in str(said.value)
    assert TOKEN not in str(said.value)
    assert "secret" not in str(said.value)
