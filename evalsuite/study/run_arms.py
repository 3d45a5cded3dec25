"""Many arms: independent, resumable, in parallel processes on one machine or as Ray tasks on several."""

from __future__ import annotations

import os
import queue
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from dermforge.common import processes, ray_cluster
from dermforge.common.errors import CheckFailed, DataWarning, UserError, first_line
from dermforge.common.progress import Progress, Ticker, no_tick, silent
from dermforge.common.sealed_parquet import check_seal
from evalsuite.study import arm as arms_
from evalsuite.study import train_arm
from evalsuite.study.arm import Arm, Result
from evalsuite.study.arm_images import digest
from evalsuite.study.train_arm import Execution
from evalsuite.training.data import datasets
from evalsuite.training.distributed import World

FOLDER = "arms"


@dataclass(frozen=True)
class Options:
    """How arms are trained, whatever they are.

    Attributes
    ----------
    workers
        Processes; None: one per core on CPUs, one on a GPU.
    ray
        `local`, or the address of a cluster that sees the same paths; None: processes on this machine.
    keep
        Keep checkpoints, and what an interrupted arm resumes from.
    allow_leakage
        Train although a generator saw too much.
    finished
        Called in this process with the result of each arm: first those that are there, then the others as they come.
    """

    workers: int | None = None
    ray: str | None = None
    keep: bool = True
    allow_leakage: bool = False
    progress: Progress = silent
    finished: Callable[[Result], None] = lambda result: None


@dataclass(frozen=True)
class Job:
    """An arm as it is handed to a worker; arm and places are JSON."""

    arm: str
    places: str
    folder: str
    threads: int
    allow_leakage: bool
    keep: bool


def run(
    arms: Sequence[Arm], places: datasets.Places, folder: Path, options: Options = Options(), what: str = "train"
) -> list[Result]:
    """Train the arms that have no result yet; all results, in the order given.

    Parameters
    ----------
    folder
        Each arm writes to `arms/<name>` in it. An arm with a result of other settings or other images is trained again.
    what
        What the work is called in the progress.
    """
    _opened.cache_clear()  # other images may be at the same places now
    data = _opened(places.model_dump_json())
    digests = {arm.name: digest(arm, data) for arm in arms}
    where = {arm.name: folder / FOLDER / arm.name for arm in arms}
    waiting = []
    for arm in arms:
        if (result := read(where[arm.name], digests[arm.name])) is None:
            waiting.append(arm)
        else:
            options.finished(result)
    most = 1 if torch.cuda.is_available() else min(os.cpu_count() or 1, max(1, len(waiting)))
    count = options.workers or most
    jobs = [
        Job(
            arm.model_dump_json(),
            places.model_dump_json(),
            str(where[arm.name]),
            _threads(arm, places, count),
            options.allow_leakage,
            options.keep,
        )
        for arm in waiting
    ]

    def came(result: str) -> None:
        options.finished(Result.model_validate_json(result))

    if waiting and options.ray:
        with options.progress(what, len(jobs), "arms") as tick:
            _by_ray(jobs, options.ray, tick, came)
    elif waiting:
        with options.progress(what, sum(arm.trained_as().steps * arm.recipe.batch for arm in waiting)) as tick:
            if count > 1 and len(waiting) > 1:
                _by_processes(jobs, count, tick, came)
            else:
                for job in jobs:
                    came(train(job, tick))
    results = [read(where[arm.name], digests[arm.name]) for arm in arms]
    return [r for r in results if r is not None]


def read(folder: Path, digest: str) -> Result | None:
    """The result of an arm, if it is there, of these settings, and its predictions too; what is damaged is said."""
    path, table = folder / arms_.RESULT, folder / arms_.PREDICTIONS
    if not (path.is_file() and table.is_file()):
        return None
    try:
        result = arms_.read_result(path)
        for there in filter(Path.is_file, (table, folder / arms_.VALIDATION, folder / arms_.EXTERNAL)):
            check_seal(there)
    except UserError as error:
        warnings.warn(f"{error} (it is trained now)", DataWarning, stacklevel=2)
        return None
    return result if result.digest == digest else None


def train(job: Job, tick: Ticker = no_tick) -> str:
    """One arm, from and to JSON: what a worker does."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    execution = Execution(World(0, 1, device), job.allow_leakage, job.keep, lambda n, note: tick(n))
    with _threads_of_torch(job.threads):
        result = train_arm.train(Arm.model_validate_json(job.arm), _opened(job.places), Path(job.folder), execution)
    return result.model_dump_json()


@contextmanager
def _threads_of_torch(count: int) -> Iterator[None]:
    """So many threads, and then as many as before: what is trained later in this process would get other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _opened(places: str) -> datasets.Data:
    return datasets.open_data(datasets.Places.model_validate_json(places))


def _by_processes(jobs: Sequence[Job], count: int, tick: Ticker, came: Callable[[str], None]) -> None:
    """The jobs over some processes; what they count and how they end comes back as messages."""
    context = processes.spawning()
    tasks, messages = context.Queue(), context.Queue()
    for job in [*jobs, *[None] * count]:
        tasks.put(job)
    workers = [context.Process(target=_work, args=(tasks, messages), daemon=True) for _ in range(count)]
    for worker in workers:
        worker.start()
    try:
        left = len(jobs)
        while left:
            message = _next(messages, workers)
            if isinstance(message, ValueError):
                raise message
            if isinstance(message, str):
                left -= 1
                came(message)
            else:
                tick(message)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _work(tasks: Any, messages: Any) -> None:
    """Messages: a number of images, the result of a finished arm as JSON, or the error of a user's mistake."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    for job in iter(tasks.get, None):
        try:
            result = train(job, lambda n=1, note="": messages.put(n))
        except (UserError, CheckFailed) as error:
            messages.put(error)
            return
        messages.put(result)


def _next(messages: Any, workers: Sequence[BaseProcess]) -> int | str | ValueError:
    while True:
        try:
            message: int | str | ValueError = messages.get(timeout=1.0)
            return message
        except queue.Empty:
            failed = [w for w in workers if w.exitcode not in (None, 0)]
            if not failed and all(w.exitcode == 0 for w in workers):
                raise UserError(
                    "the training processes ended before their work; run the same again: it resumes"
                ) from None
            if failed:
                raise UserError(
                    f"a training process ended with status {failed[0].exitcode} (-9: killed, often for lack of "
                    "memory); run the same again with one worker: it resumes"
                ) from None


def _by_ray(jobs: Sequence[Job], address: str, tick: Ticker, came: Callable[[str], None]) -> None:
    """The same jobs as Ray tasks of one core each; a task whose worker dies is given to another, three times."""
    ray = ray_cluster.connect(address)
    try:
        task = ray.remote(num_cpus=1, max_retries=3)(train)
        pending = [task.remote(replace(job, threads=1)) for job in jobs]
        while pending:
            done, pending = ray.wait(pending)
            for reference in done:
                came(ray.get(reference))
                tick()
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError | CheckFailed):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        raise UserError(f"Ray gave up on an arm ({first_line(error)}); run the same again: it resumes") from error
    finally:
        ray.shutdown()


def _threads(arm: Arm, places: datasets.Places, count: int) -> int:
    """Threads of one arm; a head on a table of features takes one, as on busy cores two took five times as long."""
    if arm.recipe.tuning == "features" and places.features is not None:
        return 1
    return max(1, (os.cpu_count() or 1) // count)
