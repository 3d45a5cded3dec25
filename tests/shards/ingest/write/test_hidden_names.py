"""With hashed ids no name of a photograph or patient is in the set."""

from __future__ import annotations

import csv
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.clear_names import HIDDEN, in_clear
from dermforge.common.errors import UserError
from shards import ShardSet
from shards.ingest.write.hidden_names import KEY, NAMES, HiddenNames, open_hidden

Run = Callable[..., tuple[int, str, str]]


def sets(out: Path) -> list[ShardSet]:
    return [ShardSet.open(folder) for folder in sorted(out.iterdir()) if folder.is_dir()]


def test_no_name_is_in_the_set(photos: Path, tmp_path: Path, shards: Run) -> None:
    """Not in a sidecar, a tar, a list or the output; the private folder has them all."""
    status, said, _ = shards("make", photos, "--out", tmp_path / "out", "--hash-ids", tmp_path / "private")
    assert status == 0
    content = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    names = [path.stem for path in photos.glob("*.png")] + ["lost", *(f"pat{i}" for i in range(20))]
    quoted = [name for name in names if f'"{name}"'.encode() in content or f"{name},".encode() in content]
    assert quoted == []
    assert "p00" not in said
    for data in sets(tmp_path / "out"):
        assert in_clear([*data.rows["id"], *data.rows["cluster"]]) == []
    with (tmp_path / "private" / NAMES).open(newline="") as file:
        known = {row["name"]: row["id"] for row in csv.DictReader(file)}
    ids = {one for data in sets(tmp_path / "out") for one in data.rows["id"]}
    assert ids <= set(known.values())
    assert known["p05"] in ids
    assert "lost" in (tmp_path / "private" / "_dropped.csv").read_text()


def test_the_split_is_the_same_and_so_are_the_ids_of_another_time(photos: Path, tmp_path: Path, shards: Run) -> None:
    """The lineage guard compares ids: one key, one id; another key, another id."""
    shards("make", photos, "--out", tmp_path / "clear")
    for out, private in (("one", "private"), ("two", "private"), ("three", "other")):
        assert shards("make", photos, "--out", tmp_path / out, "--hash-ids", tmp_path / private)[0] == 0
    one, two, three = ([set(d.rows["id"]) for d in sets(tmp_path / out)] for out in ("one", "two", "three"))
    assert one == two
    assert not set.union(*one) & set.union(*three)
    hidden = open_hidden(tmp_path / "private", tmp_path / "one")
    assert [{hidden(name) for name in d.rows["id"]} for d in sets(tmp_path / "clear")] == one
    assert stat.S_IMODE((tmp_path / "private" / KEY).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "private" / NAMES).stat().st_mode) == 0o600


def test_names_of_any_letters_are_kept_and_are_no_formulas(tmp_path: Path) -> None:
    """Also after they were read again, and a name that is no UTF-8."""
    hidden = open_hidden(tmp_path / "private", tmp_path / "out")
    names = ["=1+1", "'=1", "@x", "-a b", 'a"b,c', "\udcff"]
    for part in (names[:3], names[3:], names):
        hidden.record([(name, hidden(name)) for name in part])
    with (tmp_path / "private" / NAMES).open(newline="", errors="surrogateescape") as file:
        cells = [row["name"] for row in csv.DictReader(file)]
    assert sorted(cells) == sorted(["'=1+1", "''=1", "'@x", "'-a b", 'a"b,c', "\udcff"])


@given(st.lists(st.text(max_size=20), unique=True, max_size=20))
def test_ids_are_ids_and_differ(names: list[str]) -> None:
    hidden = HiddenNames(Path(), b"k" * 32)
    ids = [hidden(name) for name in names]
    assert all(HIDDEN.fullmatch(one) for one in ids)
    assert len(set(ids)) == len(names)


def test_the_private_folder_is_not_in_the_set_and_its_key_is_whole(tmp_path: Path) -> None:
    for folder in (tmp_path / "out", tmp_path / "out" / "private"):
        with pytest.raises(UserError, match="lies in"):
            open_hidden(folder, tmp_path / "out")
    open_hidden(tmp_path / "private", tmp_path / "out")
    (tmp_path / "private" / KEY).write_text("abc\n")
    with pytest.raises(UserError, match="holds no key"):
        open_hidden(tmp_path / "private", tmp_path / "out")


def test_a_card_warns_of_names_in_clear(photos: Path, tmp_path: Path, shards: Run) -> None:
    for out, options in (("clear", ()), ("hashed", ("--hash-ids", tmp_path / "private"))):
        shards("make", photos, "--out", tmp_path / out, *options)
        _, _, err = shards("card", tmp_path / out / "train", "--license", "cc-by-4.0")
        assert ("in clear" in err) == (out == "clear")
        assert ("--hash-ids" in err) == (out == "clear")
