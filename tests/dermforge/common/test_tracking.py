"""Trackers, each read by the tool itself: what arrives, what a resumed run adds, what leaves this machine, faults."""

from __future__ import annotations

import os
import resource
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import tracker_readers as read
from proxy import silent_proxy

from dermforge.common.errors import DataWarning, UserError
from dermforge.common.tracking import TOOLS, tracked

SETTINGS: dict[str, object] = {"rate": 0.5, "sizes": [1, 2], "data": "abc", "left out": None}
ALL = tuple(TOOLS)
pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a user who has set nothing."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    for tool in ALL:
        pytest.importorskip(tool)


def test_each_tool_reads_what_was_tracked_and_what_a_resumed_run_added(tmp_path: Path) -> None:
    """The steps after the checkpoint come twice, with equal values, and stand there once; W&B keeps both files."""
    out = tmp_path / "tuned"
    with suppress(KeyboardInterrupt), tracked(ALL, out, "finetune", SETTINGS) as run:
        for step in (1, 2, 3):
            run.metrics({"loss": 1 / step, "not measured": float("nan")}, step)
        raise KeyboardInterrupt
    folder = tmp_path / "tuned.tracking"
    assert read.mlflow(folder).state == "KILLED"
    with tracked(ALL, out, "finetune", SETTINGS) as run:
        for step in (3, 4):
            run.metrics({"loss": 1 / step}, step)
        run.outcome({"pipeline": "def", "accuracy (test)": 0.75})
        run.artefact("page.html", b"<p>yes</p>")
    board, flow, (begun, resumed) = read.tensorboard(folder), read.mlflow(folder), read.wandb(folder)
    expected = [(step, pytest.approx(1 / step)) for step in (1, 2, 3, 4)]
    for points in (board.points["loss"], flow.points["loss"], begun.points["loss"][:2] + resumed.points["loss"]):
        assert points == expected
    for found in (board, flow, begun, resumed):
        assert found.settings["rate"] == "0.5"
        assert found.settings["sizes"] == "[1, 2]"
        assert found.settings["data"] == "abc"
        assert "left out" not in found.settings
        assert "not measured" not in found.points
    assert board.outcome["pipeline"] == flow.outcome["pipeline"] == resumed.outcome["pipeline"] == "def"
    assert board.points["accuracy (test)"] == [(4, 0.75)]
    assert flow.points["accuracy -test-"] == [(0, 0.75)], "in the letters that MLflow takes"
    assert flow.files == resumed.files == {"page.html": b"<p>yes</p>"}
    assert (begun.state, resumed.state, flow.state) == ("1", "0", "FINISHED")


def test_other_settings_and_fresh_begin_another_run(tmp_path: Path) -> None:
    """A number of another run never stands in the place of this one's."""

    def log(settings: dict[str, object], fresh: bool = False) -> str:
        with tracked(["tensorboard"], tmp_path / "out", "train", settings, fresh) as run:
            run.metrics({"loss": 1.0}, 1)
        return read.run_id(tmp_path / "out.tracking")

    first = log(SETTINGS)
    assert log(SETTINGS) == first
    others = [log(SETTINGS | {"rate": 0.25}), log(SETTINGS | {"rate": 0.25}, fresh=True)]
    assert len({first, *others}) == 3


def test_nothing_goes_over_a_network_and_nothing_names_this_machine(tmp_path: Path) -> None:
    """Of every file that a tool would send: no folder, no host, no user. The tools' own logs stay on this machine."""
    program = (
        "import sys; from pathlib import Path; from dermforge.common.tracking import tracked\n"
        "with tracked(sys.argv[2:], Path(sys.argv[1]), 'train', {'rate': 0.5}) as run:\n"
        "    run.metrics({'loss': 1.0}, 1); run.outcome({'verdict': 'helps'}); run.artefact('page.html', b'yes')\n"
    )
    out = tmp_path / "secret-folder" / "out"
    out.parent.mkdir()
    words = [sys.executable, "-P", "-c", program, str(out), *ALL]
    with silent_proxy() as (environment, asked):
        subprocess.run(words, check=True, timeout=600, cwd=tmp_path, env=environment)
    assert asked == []
    sent = [
        p
        for p in (out.parent / "out.tracking" / "wandb").rglob("*")
        if p.suffix == ".wandb" or p.parent.name == "files"
    ]
    sent += list((out.parent / "out.tracking" / "tensorboard").rglob("*tfevents*"))
    assert len(sent) == 3
    hidden = [b"secret-folder", socket.gethostname().encode(), os.fsencode(sys.executable)]
    for path in sent:
        content = path.read_bytes()
        assert not [word for word in hidden if len(word) > 3 and word in content], path.name
    kept = sqlite3.connect(out.parent / "out.tracking" / "mlflow.db")
    tags = kept.execute("select key from tags union select key from params").fetchall()
    assert {key for (key,) in tags} == {"dermforge.run", "mlflow.runName", "verdict", "rate", "dermforge"}
    assert [user for (user,) in kept.execute("select user_id from runs")] == ["unknown"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("tool", ["tensorboard", "mlflow"])
def test_a_full_disk_is_one_warning_and_the_run_goes_on(tool: str, tmp_path: Path) -> None:
    """A file may not grow, as on a full disk; MLflow's store is there before."""
    if tool == "mlflow":
        with tracked([tool], tmp_path / "out", "train", SETTINGS) as run:
            run.metrics({"loss": 1.0}, 0)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    steps: list[int] = []

    def log() -> None:
        with tracked([tool], tmp_path / "out", "train", SETTINGS) as run:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, usual[1]))
            for step in range(1, 60):
                run.metrics({"loss": 1 / step}, step)
                steps.append(step)

    try:
        with pytest.warns(DataWarning) as said:
            log()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert len(steps) == 59
    (line,) = [str(one.message) for one in said if issubclass(one.category, DataWarning)]
    assert line.startswith(f"{tool}: no tracking from here on (")
    assert line.endswith("; the run goes on")


def test_a_server_that_is_gone_is_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    begun = time.monotonic()
    gone = pytest.warns(DataWarning, match="mlflow: no tracking from here on")
    with gone as said, tracked(["mlflow", "tensorboard"], tmp_path / "out", "train", SETTINGS) as run:
        run.metrics({"loss": 1.0}, 1)
    assert len(said) == 1
    assert time.monotonic() - begun < 120
    assert read.tensorboard(tmp_path / "out.tracking").points["loss"] == [(1, 1.0)]


def test_a_store_that_the_environment_names_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"sqlite:///{tmp_path / 'all.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "moles")
    for name in ("one", "two"):
        with tracked(["mlflow"], tmp_path / name, "train", SETTINGS) as run:
            run.metrics({"loss": 1.0}, 1)
        assert read.mlflow(tmp_path / f"{name}.tracking", uri).points["loss"] == [(1, 1.0)]
        assert not (tmp_path / f"{name}.tracking" / "mlflow.db").exists()


@pytest.mark.parametrize("tool", ALL)
def test_what_is_not_installed_is_refused_before_anything(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, tool, None)
    with pytest.raises(UserError, match=f"--track {tool} needs the package {tool}"):
        tracked([tool], tmp_path / "out", "train", {}).__enter__()
    assert not list(tmp_path.iterdir())


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out.tracking").mkdir()
    (tmp_path / "out.tracking" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match=r"mine\.txt"), tracked(["tensorboard"], tmp_path / "out", "train", {}):
        pass


def test_without_trackers_nothing_is_written(tmp_path: Path) -> None:
    with tracked([], tmp_path / "out", "train", SETTINGS) as run:
        run.metrics({"loss": 1.0}, 1)
        run.outcome({"verdict": "helps"})
        run.artefact("page.html", b"")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "{bad", "[]", '{"id": "../../x", "settings": ""}', '{"id": 3}', "\xff"])
def test_a_damaged_record_is_refused_before_anything_is_trained(tmp_path: Path, content: str) -> None:
    record = tmp_path / "out.tracking" / "run.json"
    record.parent.mkdir()
    record.write_text(content, encoding="latin-1")
    with (
        pytest.raises(UserError, match=r"run\.json is no record of a tracked run .*; delete it"),
        tracked(["tensorboard"], tmp_path / "out", "train", SETTINGS),
    ):
        pytest.fail("the run began")
    record.unlink()
    with tracked(["tensorboard"], tmp_path / "out", "train", SETTINGS) as run:
        run.metrics({"loss": 1.0}, 0)


def test_a_resumed_run_is_read_after_the_interrupted_one(tmp_path: Path) -> None:
    """Also in the second in which that began, whichever process has the smaller number."""
    program = (
        "import os, sys; from pathlib import Path; from dermforge.common.tracking import tracked\n"
        "with tracked(['tensorboard'], Path(sys.argv[1]), 'train', {'rate': 0.5}) as run:\n"
        "    for step in (1, 2, 3): run.metrics({'loss': 1.0}, step)\n"
        "    os._exit(9)\n"
    )
    words = [sys.executable, "-P", "-c", program, str(tmp_path / "out")]
    assert subprocess.run(words, check=False).returncode == 9
    (file,) = (tmp_path / "out.tracking").rglob("*tfevents*")
    file.rename(file.with_name(f"events.out.tfevents.{int(time.time())}.zzz.{2**22}.0"))  # now, and after all others
    with tracked(["tensorboard"], tmp_path / "out", "train", {"rate": 0.5}) as run:
        for step in (3, 4, 5):
            run.metrics({"loss": 1.0}, step)
    found = read.tensorboard(tmp_path / "out.tracking")
    assert [step for step, _ in found.points["loss"]] == [1, 2, 3, 4, 5]
