"""A folder that somebody else made is never written into; a folder is replaced whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim, claim_names, whole_folder


@pytest.mark.parametrize("names", [[], ["record.json", "notes.txt"], ["cache"], [".x.tar.0a1b.tmp"]])
def test_an_empty_or_an_own_folder_is_free(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    claim(tmp_path, "ours", ["record.*"], ["cache"])
    claim(tmp_path / "new", "ours", ["record.*"])


@pytest.mark.parametrize("names", [["notes.txt"], ["cache", "notes.txt"], [".git"]])
def test_a_strange_file_is_named(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(UserError, match=rf"a/place holds {names[-1]} and is not ours"):
        claim_names("a/place", names, "ours", ["record.*"], ["cache"])


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        claim(tmp_path / "file", "ours", [])


def test_nothing_is_left_of_a_folder_that_was_not_finished(tmp_path: Path) -> None:
    def write() -> None:
        with whole_folder(tmp_path / "out") as partial:
            (partial / "half").write_text("")
            raise UserError("no")

    with pytest.raises(UserError, match="no"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with whole_folder(tmp_path / "out") as partial:
            (partial / text).touch()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_process_left_is_removed_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from dermforge.common.output_folder import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    )
    dead, alive = (
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")], stdout=subprocess.PIPE) for _ in range(2)
    )
    try:
        for process in (dead, alive):
            assert process.stdout is not None
            process.stdout.readline()
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        (tmp_path / ".output.partial-1").mkdir()  # of another folder
        with whole_folder(tmp_path / "out"):
            pass
        assert {p.name for p in tmp_path.iterdir()} == {"out", f".out.partial-{alive.pid}", ".output.partial-1"}
    finally:
        for process in (dead, alive):
            process.kill()
            process.communicate()


def test_a_folder_that_was_set_aside_comes_back_when_its_replacement_never_came(tmp_path: Path) -> None:
    (tmp_path / ".out.old-999999").mkdir()
    (tmp_path / ".out.old-999999" / "precious").touch()
    with pytest.raises(UserError), whole_folder(tmp_path / "out"):
        raise UserError("no")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["precious"]


@pytest.mark.parametrize(("job", "kept"), [("same", ["finished"]), ("other", []), (None, [])])
def test_a_killed_job_is_resumed_by_the_same_job_only(tmp_path: Path, job: str | None, kept: list[str]) -> None:
    left = tmp_path / ".out.partial-999999-same"
    left.mkdir()
    (left / "finished").touch()
    (left / ".half.0a1b.tmp").touch()
    with whole_folder(tmp_path / "out", job) as partial:
        assert [p.name for p in partial.iterdir()] == kept
    assert [p.name for p in (tmp_path / "out").iterdir()] == kept
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
