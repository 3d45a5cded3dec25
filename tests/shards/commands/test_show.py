"""Commands that change nothing: what they print and exit with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

Make = Callable[..., Path]


def test_info_and_ls(make_shards: Make, shards: Callable[..., tuple[int, str, str]]) -> None:
    folder = make_shards(8)
    status, out, _ = shards("info", folder, "--json")
    found = json.loads(out)
    assert (status, found["images"], found["shards"]) == (0, 8, 2)
    assert sum(cell["n"] for cell in found["counts"]) == 8
    status, out, _ = shards("ls", folder, "--class", "nodule", "--group", "dark")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["s-0003", "s-0007"]


def test_verify(make_shards: Make, shards: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """0 for whole shards, 1 with every fault named, 2 for no shards."""
    folder = tmp_path / "x"
    shutil.copytree(make_shards(8), folder)
    assert shards("verify", folder, "--deep")[0] == 0
    tar = folder / "set-000001.tar"
    tar.write_bytes(tar.read_bytes().replace(b"nodule", b"plaque"))
    status, _, err = shards("verify", folder, "--deep")
    assert status == 1
    assert "set-000001.tar" in err
    assert shards("verify", tmp_path)[0] == 2
