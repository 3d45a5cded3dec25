"""`shards push` to a server of the hub's protocol, by the hub's own library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_state import TOKEN, Hub
from shards_helpers import CLASSES, items, write_card

from shards import ShardSetWriter, write_shard
from shards.tools.purge import purge

Shards = Callable[..., tuple[int, str, str]]
TO = "hf://datasets/me/lesions"
MIT = ("--licence", "mit")


@pytest.fixture
def phantoms(make_shards: Callable[..., Path], tmp_path: Path) -> Path:
    """Twelve phantoms in three shards."""
    return make_shards(12, folder=tmp_path / "set")


def real(folder: Path, prefix: str = "xA", **facts: Any) -> Path:
    """Shards of real images; the ids of the usual ones are in clear."""
    write_shard(folder, "set", 0, items(4, prefix, origin="real", **facts), classes=CLASSES)
    return folder


def hashed(folder: Path) -> Path:
    """Real images with ids as `shards make --hash-ids` makes them."""
    with ShardSetWriter(folder, "set", classes=CLASSES) as writer:
        for number, (sample, image, ext) in enumerate(items(4, origin="real")):
            writer.add(sample.model_copy(update={"id": f"x{number:024x}"}), image, ext)
    return folder


def test_it_is_private_and_what_is_there_is_not_sent_again(phantoms: Path, hub: Hub, shards: Shards) -> None:
    status, out, err = shards("push", phantoms, TO, *MIT)
    assert (status, err) == (0, "")
    assert "(private)" in out
    repo = hub.dataset("me/lesions")
    first, received = repo.head, dict(hub.received)
    assert repo.private
    tars = {path.stat().st_size for path in phantoms.glob("*.tar")}
    assert set(received.values()) == tars
    again = json.loads(shards("push", phantoms, TO, *MIT, "--json")[1])
    assert (again["sent"], again["revision"], again["private"]) == ([], first, True)
    assert (repo.head, hub.received) == (first, received)


def test_a_killed_push_goes_on(make_shards: Callable[..., Path], hub: Hub, shards: Shards, tmp_path: Path) -> None:
    """Killed with some shards stored and others on their way: only the latter are sent again."""
    folder = make_shards(24, shard_size=2, folder=tmp_path / "set")
    hub.pause = 0.5
    words = [sys.executable, "-P", "-m", "dermforge", "shards", "push", str(folder), TO, *MIT]
    with subprocess.Popen(words, env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while len(hub.blobs) < 4 and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    time.sleep(2 * hub.pause)
    hub.pause, stored = 0, dict(hub.blobs)
    assert 4 <= len(stored) < 12
    assert list(hub.dataset("me/lesions").files) == [".gitattributes"], "nothing is there before all of it is"
    before = dict(hub.received)
    assert shards("push", folder, TO, *MIT)[0] == 0
    sizes = {oid: len(content) for oid, content in hub.blobs.items()}
    assert len(sizes) == 12
    assert {oid: hub.received[oid] for oid in stored} == {oid: sizes[oid] for oid in stored}
    again = sum(hub.received.values()) - sum(before.values())
    assert again == sum(size for oid, size in sizes.items() if oid not in stored)


def test_real_images_need_an_explicit_word(hub: Hub, shards: Shards, tmp_path: Path) -> None:
    """Also where the repository is private: it is on another company's machines."""
    folder = hashed(tmp_path / "set")
    status, _, err = shards("push", folder, TO, *MIT)
    assert status == 2
    assert "4 real images" in err
    assert "--publish-real-images" in err
    assert not hub.requests
    assert shards("push", folder, TO, *MIT, "--publish-real-images")[0] == 0
    assert b"health data" in hub.dataset("me/lesions").files["croissant.json"]


@pytest.mark.parametrize("facts", [{"origin": "real"}, {"origin": "synthetic", "parent": "miller-1970"}])
def test_names_in_clear_need_another(facts: dict[str, Any], hub: Hub, shards: Shards, tmp_path: Path) -> None:
    """Ids, parents, patients and the lineage of the generator can say who somebody is."""
    write_shard(tmp_path / "set", "set", 0, items(4, "miller", **facts), classes=CLASSES)
    words = ("push", tmp_path / "set", TO, *MIT, "--publish-real-images")
    status, _, err = shards(*words)
    assert status == 2
    assert "miller" in err
    assert "--hash-ids" in err
    assert "--publish-real-ids" in err
    assert not hub.requests
    assert shards(*words, "--publish-real-ids")[0] == 0


def test_who_signed_a_withdrawal_is_a_name_too(phantoms: Path, hub: Hub, shards: Shards) -> None:
    purge(phantoms, "s-0003", "Dr Miller")
    status, _, err = shards("push", phantoms, TO, *MIT)
    assert status == 2
    assert "Dr Miller" in err
    assert shards("push", phantoms, TO, *MIT, "--publish-real-ids")[0] == 0
    assert "_purged.s-0003.json" in hub.dataset("me/lesions").files


def test_the_licence_is_asked_for(phantoms: Path, hub: Hub, shards: Shards) -> None:
    assert "--licence" in shards("push", phantoms, TO)[2]
    assert "cc-by-4.0" in shards("push", phantoms, TO, "--licence", "CC-BY-4")[2]
    assert "--licence-link" in shards("push", phantoms, TO, "--licence", "other")[2]
    assert not hub.requests
    link = "https://example.org/terms"
    assert shards("push", phantoms, TO, "--licence", "other", "--licence-link", link)[0] == 0
    files = hub.dataset("me/lesions").files
    assert f"license_link: {link}".encode() in files["README.md"]
    assert json.loads(files["croissant.json"])["license"] == link


def test_a_card_that_is_there_gives_licence_and_words(phantoms: Path, hub: Hub, shards: Shards) -> None:
    """The numbers in its head are new; another licence than its own is refused."""
    write_card(phantoms, "--name", "Lesions", "--summary", "Drawn.", "--cite", "Someone 2026")
    card = (phantoms / "README.md").read_text().replace("12 images", "A dozen images").replace("n<1K", "n>1M")
    (phantoms / "README.md").write_text(card)
    status, _, err = shards("push", phantoms, TO, *MIT)
    assert status == 2
    assert "cc-by-4.0" in err
    assert shards("push", phantoms, TO)[0] == 0
    files = hub.dataset("me/lesions").files
    assert b"A dozen images" in files["README.md"]
    assert b"n<1K" in files["README.md"]
    document = json.loads(files["croissant.json"])
    assert (document["name"], document["description"], document["citeAs"]) == ("Lesions", "Drawn.", "Someone 2026")


def test_a_public_repository_needs_the_word(phantoms: Path, hub: Hub, shards: Shards) -> None:
    assert shards("push", phantoms, TO, *MIT, "--public")[0] == 0
    assert not hub.dataset("me/lesions").private
    before = dict(hub.received)
    status, _, err = shards("push", phantoms, TO, *MIT)
    assert status == 2
    assert "--public" in err
    assert hub.received == before


def test_a_private_repository_stays_private(phantoms: Path, hub: Hub, shards: Shards) -> None:
    assert shards("push", phantoms, TO, *MIT)[0] == 0
    status, out, err = shards("push", phantoms, TO, *MIT, "--public")
    assert (status, hub.dataset("me/lesions").private) == (0, True)
    assert "(private)" in out
    assert "stays so" in err


def test_only_the_set_is_sent(phantoms: Path, hub: Hub, shards: Shards) -> None:
    """Lists with the names of photographs lie beside sets; what stays is said, here and there."""
    (phantoms / "_dropped.csv").write_text("name,why\nmiller.jpg,broken\n")
    (phantoms / "notes.txt").write_text("mine")
    (phantoms / "run.json").write_text("{}")
    assert shards("push", phantoms, TO, *MIT)[0] == 0
    hub.dataset("me/lesions").change(**{"figure.svg": b"<svg/>"})
    done = json.loads(shards("push", phantoms, TO, *MIT, "--json")[1])
    assert done["left_here"] == ["_dropped.csv", "notes.txt"]
    assert done["others"] == ["figure.svg"]
    names = set(hub.dataset("me/lesions").files) - {".gitattributes", "figure.svg"}
    sent = {path.name for path in phantoms.iterdir()} - {"_dropped.csv", "notes.txt"}
    assert names == sent | {"README.md", "croissant.json", "samples.csv"}


def test_a_smaller_set_takes_the_place_of_a_larger_one(
    phantoms: Path, make_shards: Callable[..., Path], hub: Hub, shards: Shards, tmp_path: Path
) -> None:
    """No shard of the former state is left to be read; that the history has it is said."""
    shards("push", phantoms, TO, *MIT)
    _, _, err = shards("push", make_shards(5, folder=tmp_path / "less"), TO, *MIT)
    assert "set-000001.tar" in err
    assert "history" in err
    assert [name for name in hub.dataset("me/lesions").files if name.endswith(".tar")] == ["set-000000.tar"]


def test_a_damaged_shard_is_not_sent(phantoms: Path, hub: Hub, shards: Shards) -> None:
    tar = phantoms / "set-000001.tar"
    content = bytearray(tar.read_bytes())
    content[700] ^= 1
    tar.write_bytes(content)
    status, _, err = shards("push", phantoms, TO, *MIT)
    assert status == 1
    assert "set-000001.tar" in err
    assert not hub.received


@pytest.mark.parametrize(
    ("address", "environment", "said"),
    [
        (TO, {"HF_TOKEN": "hf_wrong"}, "hf auth login"),
        ("hf://datasets/other/lesions", {}, "write access"),
        ("hf://me/lesions", {}, "hf://datasets/OWNER/NAME"),
        ("datasets/me/lesions", {}, "hf://datasets/OWNER/NAME"),
        (f"{TO}@main", {}, "leave @main out"),
    ],
)
def test_a_refusal_says_what_to_do(
    address: str,
    environment: dict[str, str],
    said: str,
    phantoms: Path,
    hub: Hub,
    shards: Shards,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    status, out, err = shards("push", phantoms, address, *MIT)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert TOKEN not in err
    assert not hub.received


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 418, 429, 500, 503])
def test_every_answer_is_one_line(status: int, phantoms: Path, hub: Hub, shards: Shards) -> None:
    """In the middle of a push, when the repository is there; and no file lies about afterwards."""
    shards("push", phantoms, TO, *MIT)
    hub.status = status
    got, out, err = shards("push", phantoms, TO, *MIT)
    assert (got, out) == (2, "")
    assert err.count("\n") == 1
    assert str(status) in err
    assert TOKEN not in err


def test_another_commit_in_between_is_not_undone(
    phantoms: Path, hub: Hub, shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push that began on an older state is refused by the hub; the next one begins on the new state."""
    shards("push", phantoms, TO, *MIT)
    from dermforge.common import hub_push
    from dermforge.common.hub import find

    def and_then_somebody_else(*words: Any) -> Any:
        found = find(*words)
        hub.dataset("me/lesions").change(**{"README.md": b"---\nlicense: mit\n---\nmine"})
        return found

    monkeypatch.setattr(hub_push, "find", and_then_somebody_else)
    purge(phantoms, "s-0003", "x0123456789abcdef01234567")
    status, _, err = shards("push", phantoms, TO, *MIT, "--publish-real-ids")
    assert status == 2
    assert "same command again" in err
    assert hub.dataset("me/lesions").files["README.md"].endswith(b"mine")
