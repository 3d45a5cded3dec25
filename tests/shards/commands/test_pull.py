"""`shards pull` from a server of the hub's protocol, by the hub's own library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_state import TOKEN, Hub, digests

from shards import ShardSet

Shards = Callable[..., tuple[int, str, str]]
ADDRESS = "hf://datasets/me/lesions"


@pytest.fixture
def pushed(make_shards: Callable[..., Path], hub: Hub, shards: Shards, tmp_path: Path) -> Path:
    """Twelve phantoms in three shards, on the hub."""
    folder = make_shards(12, folder=tmp_path / "set")
    status, _, err = shards("push", folder, ADDRESS, "--licence", "cc-by-4.0")
    assert (status, err) == (0, "")
    return folder


def left_in(folder: Path) -> list[str]:
    """What a pull left behind beside the pushed set."""
    return sorted(path.name for path in folder.iterdir() if path.name not in ("set", "hub-cache"))


def test_what_comes_back_is_what_went(pushed: Path, shards: Shards, tmp_path: Path) -> None:
    status, out, err = shards("pull", ADDRESS, tmp_path / "back", "--json")
    assert (status, err) == (0, "")
    own, back = digests(pushed), digests(tmp_path / "back")
    assert {name: back[name] for name in own} == own
    assert set(back) - set(own) == {"README.md", "croissant.json", "samples.csv"}
    assert json.loads(out)["files"] == len(back)
    assert left_in(tmp_path) == ["back"]
    assert shards("verify", tmp_path / "back", "--deep")[0] == 0


def test_sets_of_a_folder_come_back_in_their_folders(
    phantom_shards: Path, hub: Hub, shards: Shards, tmp_path: Path
) -> None:
    """train/, validation/ and test/ are one data set with three splits."""
    assert shards("push", phantom_shards, ADDRESS, "--licence", "mit")[0] == 0
    assert shards("pull", ADDRESS, tmp_path / "back")[0] == 0
    own, back = digests(phantom_shards), digests(tmp_path / "back")
    assert {name: back[name] for name in own} == own
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset(str(tmp_path / "back"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows[split]) for split in rows} == {"train": 72, "validation": 36, "test": 72}


def test_a_pull_that_is_there_already_fetches_nothing(pushed: Path, hub: Hub, shards: Shards, tmp_path: Path) -> None:
    shards("pull", ADDRESS, tmp_path / "back")
    sent = hub.sent
    status, out, _ = shards("pull", ADDRESS, tmp_path / "back")
    assert (status, hub.sent) == (0, sent)
    assert "already there" in out
    (tmp_path / "back" / "mine.txt").write_text("mine")
    status, _, err = shards("pull", ADDRESS, tmp_path / "back")
    assert status == 2
    assert "new folder" in err
    assert (tmp_path / "back" / "mine.txt").read_text() == "mine"


def test_a_stopped_pull_goes_on(
    pushed: Path, hub: Hub, shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends within a file, and the hub refuses from then on; whole files are not sent again.

    Of the file that was cut, the hub's library of before 1.0 keeps the part that was written; later ones may not.
    """
    from huggingface_hub import __version__, constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)  # bytes that are written at once
    hub.cut, hub.after, hub.status = 2000, 10**6, 403
    status, _, err = shards("pull", ADDRESS, tmp_path / "back")
    assert status == 2
    assert err.count("\n") == 1
    assert not (tmp_path / "back").exists()
    hub.status = None
    status, _, err = shards("pull", ADDRESS, tmp_path / "back")
    assert (status, err) == (0, "")
    assert hub.ranges or not __version__.startswith("0.")
    again = hub.sent - sum(path.stat().st_size for path in (tmp_path / "back").iterdir())
    assert 0 <= again < 500 if hub.ranges else again == 2000
    assert left_in(tmp_path) == ["back"]


def changed(content: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("name", ["set-000001.tar", "set-000001.json", "set-000001.idx", "samples.csv"])
def test_a_file_that_was_changed_on_the_hub_is_refused(
    name: str, pushed: Path, hub: Hub, shards: Shards, tmp_path: Path
) -> None:
    repo = hub.dataset("me/lesions")
    before = repo.head
    repo.change(**{name: changed(repo.files[name])})
    status, _, err = shards("pull", ADDRESS, tmp_path / "back")
    assert status == 1, err
    assert name.partition(".")[0] in err
    assert left_in(tmp_path) == []
    assert shards("pull", f"{ADDRESS}@{before}", tmp_path / "back")[0] == 0


def test_a_description_of_other_files_is_refused(pushed: Path, hub: Hub, shards: Shards, tmp_path: Path) -> None:
    """The card and the words of the description may be edited on the hub; its digests may not."""
    repo, digest = hub.dataset("me/lesions"), digests(pushed)["set-000001.tar"].encode()
    described = repo.files["croissant.json"]
    repo.change(**{"croissant.json": described.replace(b"images of", b"pictures of"), "README.md": b"mine"})
    assert shards("pull", ADDRESS, tmp_path / "back")[0] == 0
    repo.change(**{"croissant.json": described.replace(digest, b"0" * 64)})
    assert "set-000001.tar is another file" in shards("pull", ADDRESS, tmp_path / "other")[2]


@pytest.mark.parametrize("end", [".tar", ".json"])
def test_a_shard_that_is_gone_is_missed(end: str, pushed: Path, hub: Hub, shards: Shards, tmp_path: Path) -> None:
    hub.dataset("me/lesions").change(**{f"set-000002{one}": None for one in (end, ".idx")})
    assert shards("pull", ADDRESS, tmp_path / "back")[0] == 1
    hub.dataset("me/lesions").change(**{f"set-000002{one}": None for one in (".tar", ".json")}, **{"_info.json": None})
    status, _, err = shards("pull", ADDRESS, tmp_path / "back")
    assert status == 1
    assert "set-000002.tar is missing" in err
    assert left_in(tmp_path) == []


def test_a_store_that_sends_something_else_is_noticed(pushed: Path, hub: Hub, shards: Shards, tmp_path: Path) -> None:
    """Another content than the hub lists: the next pull fetches that file again, and no other."""
    oid = digests(pushed)["set-000001.tar"]
    hub.served[oid] = changed(hub.blobs[oid])
    status, _, err = shards("pull", ADDRESS, tmp_path / "back")
    assert status == 1
    assert "set-000001.tar" in err
    hub.served.clear()
    assert shards("pull", ADDRESS, tmp_path / "back")[0] == 0
    assert left_in(tmp_path) == ["back"]


def test_code_and_pickles_are_not_fetched(pushed: Path, hub: Hub, shards: Shards, tmp_path: Path) -> None:
    strange = ["lesions.py", "data/train.py", "pytorch_model.bin", "a.pkl", "set-000000.tar.exe", "x/y/set-000000.tar"]
    hub.dataset("me/lesions").change(**dict.fromkeys(strange, b"import os"))
    status, out, _ = shards("pull", ADDRESS, tmp_path / "back", "--json")
    assert status == 0
    assert json.loads(out)["left_out"] == sorted(strange)
    assert not [path for path in (tmp_path / "back").rglob("*") if path.suffix in (".py", ".bin", ".pkl", ".exe")]
    assert not [path for _, path in hub.requests if path.endswith(".py") and "/resolve/" in path]


@pytest.mark.parametrize(
    "name", ["../evil-000000.tar", "/tmp/evil-000000.tar", "a//b", "a/../../b.tar", "..\\evil.tar"]
)
def test_a_name_that_leads_elsewhere_is_refused(
    name: str, pushed: Path, hub: Hub, shards: Shards, tmp_path: Path
) -> None:
    hub.dataset("me/lesions").change(**{name: b"evil"})
    status, _, err = shards("pull", ADDRESS, tmp_path / "below" / "back")
    assert status == 1
    assert "no plain name" in err
    assert left_in(tmp_path) == []


def test_a_repository_without_shards_and_one_that_is_not_there(
    pushed: Path, hub: Hub, shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no such repository" in shards("pull", "hf://datasets/me/lesion", tmp_path / "back")[2]
    assert "revision" in shards("pull", f"{ADDRESS}@v2", tmp_path / "back")[2]
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "hf auth login" in shards("pull", ADDRESS, tmp_path / "back")[2]
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.dataset("me/lesions").commit({"README.md": b"none"})
    status, _, err = shards("pull", ADDRESS, tmp_path / "back")
    assert status == 2
    assert "no shards" in err


def test_no_network_and_a_network_that_is_forbidden(
    pushed: Path, hub: Hub, shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    status, _, err = shards("pull", ADDRESS, tmp_path / "back")
    assert (status, err.count("\n")) == (2, 1)
    assert "does not answer" in err
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dermforge", "shards", "pull", ADDRESS, str(tmp_path / "back")],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "HF_HUB_OFFLINE" in done.stderr


READ = """
import json, sys
from datasets import load_dataset
rows = load_dataset(sys.argv[1], cache_dir=sys.argv[2])["train"]
print(json.dumps([len(rows), rows[0]["json"]["group"], rows[len(rows) - 1]["json"]["group"], rows[0]["png"].size]))
"""


def test_load_dataset_reads_it_from_the_hub(hub: Hub, shards: Shards, tmp_path: Path) -> None:
    """Hugging Face's own library, with nothing but the address; the first samples have no skin type and no mask."""
    from shards_helpers import CLASSES, items

    from shards import write_shard

    pytest.importorskip("datasets")
    write_shard(tmp_path / "set", "set", 0, items(6, "a", group=None, mask=None), classes=CLASSES)
    write_shard(tmp_path / "set", "set", 1, items(6, "b", group="dark", mask="lesion"), classes=CLASSES)
    assert shards("push", tmp_path / "set", ADDRESS, "--licence", "mit")[0] == 0
    done = subprocess.run(
        [sys.executable, "-P", "-c", READ, "me/lesions", str(tmp_path / "cache")],
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == [12, None, "dark", [12, 12]]
    assert ShardSet.open(tmp_path / "set").n == 12
