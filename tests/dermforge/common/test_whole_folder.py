"""A folder is replaced whole or not at all, and nothing is removed before its replacement is on the disk."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from dermforge.common import whole_folder as module
from dermforge.common.errors import UserError
from dermforge.common.whole_folder import recover, whole_folder


@pytest.fixture(params=["exchanged", "one after the other"])
def names(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the new folder gets its name: by one call, or where the system has none."""
    if request.param != "exchanged":
        monkeypatch.setattr(module, "_exchange", lambda a, b: False)
    return str(request.param)


def test_nothing_is_left_of_a_folder_that_was_not_finished(tmp_path: Path) -> None:
    def write() -> None:
        with whole_folder(tmp_path / "out") as partial:
            (partial / "half").write_text("")
            raise UserError("no")

    with pytest.raises(UserError, match="no"):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", [".", "..", "../inside", "{here}"])
def test_the_folder_that_one_is_in_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    with (
        pytest.raises(UserError, match="is the folder that you are in"),
        whole_folder(Path(out.format(here=Path.cwd()))),
    ):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["inside"]


@pytest.mark.usefixtures("names")
def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with whole_folder(tmp_path / "out") as partial:
            (partial / text).touch()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_process_left_is_removed_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from dermforge.common.whole_folder import whole_folder\n"
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
    (tmp_path / ".out.whole-999999").mkdir()
    (tmp_path / ".out.whole-999999" / "precious").touch()
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


@pytest.mark.usefixtures("names")
def test_nothing_goes_before_its_replacement_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file, every folder, the new name, the folder of the names; and only then the old one is removed."""
    steps: list[str] = []

    def noted(word: str, real: Callable[..., object], name: Callable[..., str]) -> Callable[..., object]:
        def call(*args: object, **more: object) -> object:
            if not (step := name(args[0])).startswith(".."):  # other threads write elsewhere
                steps.append(f"{word} {step}")
            return real(*args, **more)

        return call

    def opened(fd: int) -> str:
        return os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path)

    with whole_folder(tmp_path / "out") as partial:
        (partial / "old").touch()
    monkeypatch.setattr(os, "fsync", noted("sync", os.fsync, opened))

    def named(path: object) -> str:
        return os.path.relpath(str(path), tmp_path).split("-")[0]

    monkeypatch.setattr(shutil, "rmtree", noted("remove", shutil.rmtree, named))
    with whole_folder(tmp_path / "out") as partial:
        (partial / "part").mkdir()
        (partial / "part" / "weights").touch()
        (partial / "record").touch()
    own = partial.name
    synced = [f"sync {own}/part/weights", f"sync {own}/part", f"sync {own}/record", f"sync {own}", "sync ."]
    found = [step for step in steps if step != "remove .out.partial"]  # is not there any more
    assert found == [*synced, "sync .", "remove .out.whole"]


def test_names_are_exchanged_in_one_call(tmp_path: Path) -> None:
    """Where this machine can, nobody ever finds the folder missing."""
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "a").mkdir(parents=True)
    other.mkdir()
    if not module._exchange(one, other):
        pytest.skip("this file system exchanges no names")
    assert (other / "a").is_dir()
    assert not any(one.iterdir())
    with pytest.raises(FileNotFoundError, match="No such file"):
        module._exchange(one, tmp_path / "none")


def test_a_link_leads_to_the_new_folder(tmp_path: Path) -> None:
    (tmp_path / "disk" / "old").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    with whole_folder(tmp_path / "out") as partial:
        (partial / "new").touch()
    assert (tmp_path / "out").is_symlink()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["new"]
    assert {p.name for p in tmp_path.iterdir()} == {"out", "disk"}


def test_a_whole_folder_that_is_not_needed_goes(tmp_path: Path) -> None:
    for name in ("out", ".out.whole-999999"):
        (tmp_path / name / name).mkdir(parents=True)
    recover(tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "out").is_dir()
    recover(tmp_path / "none" / "out")


def test_half_a_folder_is_no_part_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error whose clean-up fails too: what is left has lost the name by which the same job would take it over."""
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **more: None)

    def write() -> None:
        with whole_folder(tmp_path / "out", "job") as partial:
            (partial / "half").touch()
            raise UserError("no")

    with pytest.raises(UserError, match="no"):
        write()
    assert [p.name for p in tmp_path.iterdir()] == [f".out.partial-{os.getpid()}"]


@pytest.fixture(params=[0o022, 0o002, 0o027, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_others_may_read_what_is_written(umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Safetensors are written for their owner alone. The umask is of all threads, so nothing sets it to ask for it."""
    import numpy as np

    monkeypatch.delattr(os, "umask")
    with whole_folder(tmp_path / "out") as partial:
        save_file({"a": np.ones(2)}, partial / "weights.safetensors")
    monkeypatch.undo()
    assert stat.S_IMODE((tmp_path / "out" / "weights.safetensors").stat().st_mode) == 0o666 & ~umask
