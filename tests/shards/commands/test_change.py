"""Commands that write shards: what they print, write and exit with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dermforge.common import console
from shards import ShardSet
from shards.cli import PROGRAM
from shards.storage.bucket import Bucket

Make = Callable[..., Path]


def test_select_and_diff(make_shards: Make, shards: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """Selected images are the same bytes; quarantined and low-scored images are left out; scores are kept."""
    folder = make_shards(8)
    (tmp_path / "bad.txt").write_text("s-0001\ns-0003\n")
    (tmp_path / "scores.csv").write_text("id,quality\n" + "\n".join(f"s-{i:04d},{i / 10}" for i in range(8)))
    status, _, err = shards(
        "select",
        folder,
        "--out",
        tmp_path / "out",
        "--quarantine",
        tmp_path / "bad.txt",
        "--scores",
        tmp_path / "scores.csv",
        "--min-score",
        "quality=0.15",
    )
    assert (status, err) == (0, "")
    data = ShardSet.open(tmp_path / "out")
    assert list(data.rows["id"]) == ["s-0002", "s-0004", "s-0005", "s-0006", "s-0007"]
    assert data.rows["scores"][0] == {"quality": 0.2}
    assert data.read("s-0002")[1] == ShardSet.open(folder).read("s-0002")[1]
    status, out, _ = shards("diff", folder, tmp_path / "out")
    assert status == 1
    assert "only in the first\ts-0001" in out
    assert shards("diff", folder, folder)[0] == 0


def test_purge_repair_sheet(make_shards: Make, shards: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    folder = tmp_path / "x"
    shutil.copytree(make_shards(8, parent="real-1"), folder)
    (folder / "README.md").write_text("8 images")
    status, _, err = shards("purge", folder, "--parent", "real-1", "--signed-off-by", "me")
    assert status == 0
    assert "README.md still describes the removed images" in err
    record = json.loads((folder / "_purged.real-1.json").read_text())
    assert (record["signed_off_by"], sum(map(len, record["removed"].values()))) == ("me", 8)
    assert ShardSet.open(folder).n == 0
    assert shards("verify", folder, "--deep")[0] == 0
    other = make_shards(6)
    assert shards("repair", other, "--out", tmp_path / "saved")[0] == 0
    assert shards("sheet", other, "--out", tmp_path / "sheet.png")[0] == 0
    assert (tmp_path / "sheet.png").stat().st_size > 500


def test_regenerate_calls_the_installed_program(
    make_shards: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its output and its exit status are passed on; no file named gen in the current folder is run."""
    (tmp_path / "gen").mkdir()
    for file in ("gen/__init__.py", "gen/cli.py", "gen.py", "typer.py"):
        (tmp_path / file).write_text("raise SystemExit(7)")
    (tmp_path / "gen.sh").write_text("exit 7")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["shards", "regenerate", str(make_shards(6)), "--shard", "0"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as done:
        console.run(PROGRAM.app())
    assert done.value.code == 2
    assert "has no run.json and plan.csv" in capfd.readouterr().err


def test_the_commands_write_to_buckets(
    bucket: str, make_shards: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`select --out s3://` and `make --out s3://` write as to a folder, and replace nothing."""
    from dermforge.common import console
    from shards.cli import PROGRAM

    def run(*words: object) -> int:
        monkeypatch.setattr("sys.argv", ["shards", *map(str, words)])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        with pytest.raises(SystemExit) as done:
            console.run(PROGRAM.app())
        return int(done.value.code or 0)

    folder = make_shards(8, size=32)
    assert run("select", folder, "--out", bucket, "--class", "nodule", "--shard-size", 3) == 0
    assert run("verify", bucket, "--deep", "--workers", 1) == 0
    assert [s.n for s in ShardSet.open(bucket).sidecars] == [3, 1]
    assert "_info.json" in Bucket(bucket).names()
    assert run("select", folder, "--out", bucket, "--class", "nodule", "--shard-size", 3) == 0
    assert run("select", folder, "--out", bucket, "--class", "macule") == 1
    assert run("make", folder, "--out", f"{bucket}/real", "--split", "1,0,0") == 0
    assert ShardSet.open(f"{bucket}/real/train").n == 8
    assert {"_dropped.csv", "_passed_over.csv", "_made.json"} == set(Bucket(f"{bucket}/real").names())
