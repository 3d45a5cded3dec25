"""The `shards` command: what it prints, writes and exits with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dermforge.common import console
from shards import ShardSet
from shards.cli import PROGRAM

Make = Callable[..., Path]


@pytest.fixture
def shards(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run a command; exit status, stdout, stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["shards", *map(str, words)])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        with pytest.raises(SystemExit) as done:
            console.run(PROGRAM.app())
        captured = capsys.readouterr()
        return int(done.value.code or 0), captured.out, captured.err

    return run


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


def test_select_and_diff(make_shards: Make, shards: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """Selected images are the same bytes; quarantined and low-scored ones stay behind; scores travel."""
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ls", "{}", "--class", "wart"], "there are macule, nodule"),
        (["ls", "{}/none"], "is not a folder"),
        (["select", "{}", "--out", "{}/o", "--min-score", "x"], "NAME=LEAST"),
        (["purge", "{}", "--parent", "../x"], "is not an id"),
        (["make", "{}/none", "--out", "{}/o"], "is not a folder"),
        (["verify", "{}/none"], "is not a folder"),
        (["select", "{}", "--out", "{}/o", "--group", "dark", "--class", "none"], "there are macule, nodule"),
        (["repair", "{}", "--out", "{}"], "give another one"),
        (["sheet", "{}", "--out", "{}/o/x.png"], "is not a folder"),
        (["make", "{}", "--out", "{}/o", "--split", "1,2"], "three shares"),
        (["repair", "{}/none", "--out", "{}/o"], "is not a folder"),
        (["make", "{}", "--out", "{}/o", "--preset", "isic"], "expected fitzpatrick17k"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    make_shards: Make, shards: Callable[..., tuple[int, str, str]], words: list[str], message: str
) -> None:
    """Bad input: what was got, what was expected, and nothing written."""
    folder = make_shards(6)
    status, _, err = shards(*(word.format(folder) for word in words))
    assert status == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (folder / "o").exists()


def test_regenerate_calls_the_installed_program(
    make_shards: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its words and its exit status come through; nothing that is called gen in the current folder is run."""
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


@pytest.mark.parametrize(
    "command", ["make", "info", "ls", "verify", "diff", "select", "regenerate", "purge", "repair", "sheet"]
)
def test_help_has_an_example(shards: Callable[..., tuple[int, str, str]], command: str) -> None:
    status, out, _ = shards(command, "--help")
    assert status == 0
    assert f"shards {command}" in out.split("Example:")[1]


def test_progress_without_a_total(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody knows how many there are, the line counts and says no remaining time."""
    monkeypatch.setattr(console._Lines, "INTERVAL_S", 0)
    monkeypatch.setattr(console, "err", console.Console(stderr=True, highlight=False, force_terminal=False))
    assert list(console.track([1, 2], "reading", None)) == [1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("reading: 2 (")
    assert "left" not in lines[-1]
