"""Many arms at once: the same results from one process, several, or Ray; mistakes and deaths come back as a line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest
import torch

from dermforge.common.errors import DataWarning, UserError
from dermforge.common.progress import Ticker
from evalsuite.study import run_arms
from evalsuite.study.arm import Arm
from evalsuite.study.run_arms import Options
from evalsuite.training.data.datasets import Places
from evalsuite.training.recipe import make_recipe
from gen.phantoms.dataset import PhantomSplit
from shards import ShardSet

RECIPE = make_recipe(model="test_efficientnet", size=32, steps=3, batch=6, evaluate_every=3)
ARMS = [Arm(kind="real", n_real=n, recipe=RECIPE) for n in (2, 3)]


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return {p.parent.name: pd.read_parquet(p) for p in folder.rglob("predictions.parquet")}


@pytest.fixture(scope="module")
def places(phantom_shards: Path) -> Places:
    return Places(real=phantom_shards, size=32)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads sum in another order, and a few steps make much of it: with one, results are equal bit for bit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        yield


@pytest.fixture(scope="module")
def alone(places: Places, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """The predictions of the arms, trained one after the other in this process."""
    folder = tmp_path_factory.mktemp("alone")
    run_arms.run(ARMS, places, folder, Options(workers=1))
    return tables(folder)


def assert_alike(found: dict[str, pd.DataFrame], expected: dict[str, pd.DataFrame]) -> None:
    assert found.keys() == expected.keys()
    for name, table in found.items():
        pd.testing.assert_frame_equal(table, expected[name], check_exact=True)


def test_what_is_trained_afterwards_has_as_many_threads_as_before(places: Places, tmp_path: Path) -> None:
    """A generator that is tuned after a study in one process would else get other bits than one that is resumed."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        run_arms.run(ARMS[:1], places, tmp_path, Options(workers=1))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_processes_train_the_arms_as_one_does(places: Places, alone: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    """Each arm once, whichever process takes it; a mistake in one of them is raised here."""
    results = run_arms.run(ARMS, places, tmp_path, Options(workers=2))
    assert [r.arm for r in results] == ARMS
    assert_alike(tables(tmp_path), alone)
    too_many = [a.model_copy(update={"n_real": n}) for a, n in zip(ARMS, (500, 600), strict=True)]
    with pytest.raises(UserError, match=r"`n_real` is [56]00, but \w+ has 12 training images"):
        run_arms.run(too_many, places, tmp_path / "more", Options(workers=2))


def test_a_process_that_was_killed_is_named(tmp_path: Path) -> None:
    """Out of memory: not a wait for ever, but a line that says how to go on."""
    context = get_context("spawn")
    dead = context.Process(target=os.kill, args=(0, 0))
    dead.start()
    os.kill(dead.pid or 0, signal.SIGKILL)
    dead.join()
    with pytest.raises(UserError, match=r"ended with status -9 .*one worker: it resumes"):
        run_arms._next(context.Queue(), [dead])


def test_processes_that_all_ended_are_not_waited_for(tmp_path: Path) -> None:
    """With nothing wrong, and with work left."""
    context = get_context("spawn")
    done = context.Process(target=int)
    done.start()
    done.join()
    assert done.exitcode == 0
    with pytest.raises(UserError, match="ended before their work; run the same again"):
        run_arms._next(context.Queue(), [done])


def test_a_head_on_a_table_takes_one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Threads of a tiny head wait for one another; an arm of images, or one that extracts features, takes all cores."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    images, table = Places(real=tmp_path), Places(real=tmp_path, features=tmp_path / "features.parquet")
    head, whole = (Arm(kind="real", n_real=4, recipe=make_recipe(tuning=t)) for t in ("features", "full"))
    assert run_arms._threads(head, table, 1) == 1
    assert [run_arms._threads(arm, images, count) for arm in (head, whole) for count in (1, 4, 16)] == [8, 2, 1] * 2


def test_results_are_kept_until_settings_change(places: Places, tmp_path: Path) -> None:
    """Running again trains nothing; another recipe does not read old results."""
    arm = ARMS[0]
    run_arms.run([arm], places, tmp_path, Options(workers=1))
    written = tmp_path / "arms" / arm.name / "result.json"
    before = written.stat().st_mtime_ns
    assert run_arms.run([arm], places, tmp_path, Options(workers=1))[0].arm == arm
    assert written.stat().st_mtime_ns == before
    other = arm.model_copy(update={"recipe": RECIPE.model_copy(update={"lr": 1e-4})})
    assert run_arms.run([other], places, tmp_path, Options(workers=1))[0].arm == other
    assert written.stat().st_mtime_ns != before


def test_other_images_at_the_same_place_train_an_arm_again(tmp_path: Path) -> None:
    """In one process too, as in a notebook."""
    arm, found = ARMS[0], []
    for seed in (41, 42):
        shutil.rmtree(tmp_path / "real", ignore_errors=True)
        for split in ("train", "validation", "test"):
            PhantomSplit(split, 1, seed).write(tmp_path / "real")  # type: ignore[arg-type]
        found += run_arms.run([arm], Places(real=tmp_path / "real", size=32), tmp_path, Options(workers=1))
    assert found[0].digest != found[1].digest
    predicted = pd.read_parquet(tmp_path / "arms" / arm.name / "predictions.parquet")
    assert set(predicted["id"]) == set(ShardSet.open(tmp_path / "real" / "test").rows["id"])


@pytest.mark.parametrize("name", ["result.json", "predictions.parquet", "validation.parquet"])
def test_an_arm_whose_files_are_damaged_is_trained_again(places: Places, tmp_path: Path, name: str) -> None:
    """And that is said; nothing of it goes into a study unseen."""
    arm = ARMS[0]
    (before,) = run_arms.run([arm], places, tmp_path, Options(workers=1))
    file = tmp_path / "arms" / arm.name / name
    content = file.read_bytes()
    file.write_bytes(content.replace(b"a", b"b", 1))
    with pytest.warns(DataWarning, match=rf"{name} .* \(it is trained now\)"):
        (again,) = run_arms.run([arm], places, tmp_path, Options(workers=1))
    assert again.test_accuracy == before.test_accuracy
    assert name == "result.json" or file.read_bytes() == content
    (tmp_path / "arms" / arm.name / "predictions.parquet").unlink()
    assert run_arms.read(tmp_path / "arms" / arm.name, before.digest) is None


RAY = """
import sys
from pathlib import Path
from evalsuite.study import run_arms
from evalsuite.study.run_arms import Options
from evalsuite.training.data.datasets import Places
from dermforge.common.errors import DataWarning, UserError
from test_run_arms import ARMS
real, out = map(Path, sys.argv[1:])
places = Places(real=real, size=32)
run_arms.run(ARMS, places, out, Options(ray="local"))
try:
    run_arms.run([ARMS[0].model_copy(update={"n_real": 500})], places, out, Options(ray="local"))
except UserError as error:
    print("refused:", error)
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")
def test_ray_trains_the_arms_as_one_process_does(
    phantom_shards: Path, alone: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    """`--ray local`, in a process of its own; a mistake inside a task is the one line it would be without Ray."""
    done = subprocess.run(
        [sys.executable, "-c", RAY, str(phantom_shards), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("refused:")]
    assert said
    assert "`n_real` is 500, but annulus has 12 training images" in said[0]
    assert_alike(tables(tmp_path), alone)


def test_the_progress_ends_at_its_total(places: Places, tmp_path: Path) -> None:
    """Also of an arm that makes fewer steps than its recipe says, for the control of training effort."""
    counts: list[int] = []

    @contextmanager
    def counted(what: str, total: int | None, unit: str = "images") -> Iterator[Ticker]:
        counts.append(total or 0)
        yield lambda n=1, note="": counts.append(-n)

    recipe = RECIPE.model_copy(update={"ratio": 2.0})
    arms = [Arm(kind="real-short", n_real=2, recipe=recipe)]
    run_arms.run(arms, places, tmp_path, Options(workers=1, progress=counted))
    assert len(counts) > 1
    assert sum(counts) == 0
