"""Many workers on one run: each has an engine, takes shard numbers and commits shards.

A shard depends on (plan, bundle, number) only: to the byte on a CPU, within the bundle's certificate on a GPU. So when
a worker dies, only its shard in progress is lost, and another worker makes it again. Images go from the worker to the
disk only.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dermforge.common import ray_cluster
from dermforge.common.errors import CheckFailed, UserError
from engines.engine import Engine
from engines.manifest import CompileMode
from gen.diffusion.denoising_loop import DenoisingLoop
from gen.plan.parents import Parents
from gen.sampling import run_record
from gen.sampling.progress import StageProgress, Summary
from gen.sampling.run_record import RunRecord
from gen.sampling.sampler import Sampler
from gen.sampling.warm_up import warm_up

ATTEMPTS = 3


@dataclass(frozen=True)
class SamplingJob:
    """All that a worker needs to start: where the run is (a folder or an fsspec address) and what it uses."""

    folder: str | Path
    engine: Path
    backend: str | None = None
    device: str | None = None
    rows: int | None = None
    threads: int | None = None
    parents: str | Path | None = None
    masks: Path | None = None
    compile_mode: CompileMode | None = None

    def open_parents(self) -> Parents | None:
        """The real images, if any."""
        if self.parents is None:
            return None
        from shards.ingest.folder import open_data

        return Parents(open_data(self.parents), self.parents, self.masks)

    def sample(
        self,
        shards: Sequence[int],
        engine: Engine | None = None,
        on_image: Callable[[list[StageProgress]], None] | None = None,
        loop: DenoisingLoop | None = None,
    ) -> Summary:
        """Make some shards of the run in the folder, as its record says.

        Parameters
        ----------
        engine
            An engine that is loaded already; None to load it.
        loop
            Of that engine, where it serves several runs; None to make one.

        Raises
        ------
        UserError
            There is no run in the folder, or its plan is another one than the run's.
        """
        record, plan = run_record.read(self.folder), run_record.read_plan(self.folder)
        if record is None or plan is None:
            raise UserError(f"no run in {self.folder}; start one with `gen sample`")
        sampler = Sampler(engine or self.load(), plan, self.folder, record, self.open_parents(), loop)
        return sampler.run(shards, on_image)

    def load(self) -> Engine:
        """The engine."""
        from engines.loader import load

        return load(
            self.engine,
            self.backend,
            device=self.device,
            rows=self.rows,
            threads=self.threads,
            compile_mode=self.compile_mode,
        )


def mode_of(run: RunRecord | None, device: str | None = None) -> CompileMode | None:
    """The mode by which torch compiled for a run, where it compiles on this machine too."""
    from engines.backends.torch_compiled import compiles_on

    return run.compile_mode if run and run.compile_mode and compiles_on(device) else None


@dataclass
class Outcome:
    """What the workers did.

    Attributes
    ----------
    made
        Shard number -> images.
    retried
        Shard number -> why an attempt at it failed, in order.
    quarantined
        Shards that failed three times; the others are made.
    """

    made: dict[int, int] = field(default_factory=dict)
    retried: dict[int, list[str]] = field(default_factory=dict)
    quarantined: list[int] = field(default_factory=list)


def sample_on_ray(
    job: SamplingJob,
    shards: Sequence[int],
    workers: int,
    address: str = "local",
    gpus: float = 0,
    on_shard: Callable[[int, int], None] = lambda number, images: None,
) -> Outcome:
    """Sample shards with Ray actors.

    Parameters
    ----------
    address
        `local` for actors on this machine only, bound to localhost and without a dashboard; otherwise the address of
        a cluster whose nodes all see the run's folder or bucket, and the bundle.
    gpus
        GPUs of each actor.
    on_shard
        Called with the number and the images of each shard that is done.

    Raises
    ------
    UserError
        Ray is not installed, or there is no cluster at the address.
    CheckFailed
        Workers keep dying before any shard is made.
    """
    ray = ray_cluster.connect(address)
    try:
        return _Driver(ray, job, shards, workers, gpus, on_shard).run()
    finally:
        ray.shutdown()


class _Driver:
    """Gives out shard numbers, replaces workers that died, and gives up on a shard after `ATTEMPTS`."""

    def __init__(
        self,
        ray: Any,
        job: SamplingJob,
        shards: Sequence[int],
        workers: int,
        gpus: float,
        on_shard: Callable[[int, int], None],
    ) -> None:
        self.ray, self.job, self.on_shard = ray, job, on_shard
        # Without Ray's own restarts: a call to an actor that is being restarted fails at once, and would count.
        self.actor = ray.remote(max_restarts=0, num_gpus=gpus)(_Worker)
        self.workers = min(workers, len(shards))
        self.idle = deque(self.actor.remote(job) for _ in range(self.workers))
        self.left = deque(shards)
        self.running: dict[Any, tuple[int, Any]] = {}
        self.failures: Counter[int] = Counter()
        self.deaths = 0
        self.outcome = Outcome()

    def run(self) -> Outcome:
        while self.left or self.running:
            while self.left and self.idle:
                shard, actor = self.left.popleft(), self.idle.popleft()
                self.running[actor.make.remote(shard)] = shard, actor
            done, _ = self.ray.wait(list(self.running), num_returns=1)
            self._settle(done[0])
        return self.outcome

    def _settle(self, task: Any) -> None:
        shard, actor = self.running.pop(task)
        try:
            images = self.ray.get(task)
        except self.ray.exceptions.RayActorError as error:
            self._failed(shard, error)
            self._died(error)
            self.idle.append(self.actor.remote(self.job))
        except self.ray.exceptions.RayTaskError as error:
            self._failed(shard, error)
            self.idle.append(actor)
        else:
            self.idle.append(actor)
            self.outcome.made[shard] = images
            self.on_shard(shard, images)

    def _failed(self, shard: int, error: Exception) -> None:
        self.outcome.retried.setdefault(shard, []).append(_reason(error))
        self.failures[shard] += 1
        if self.failures[shard] < ATTEMPTS:
            self.left.append(shard)
        else:
            self.outcome.quarantined.append(shard)

    def _died(self, error: Exception) -> None:
        """Give up where no worker ever made a shard: the bundle may be missing on the nodes, or a GPU."""
        self.deaths += 1
        if not self.outcome.made and self.deaths > ATTEMPTS * self.workers:
            raise CheckFailed(f"{self.deaths} workers died and none made a shard; the last reason: {_reason(error)}")


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()


class _Worker:
    """An actor with one engine, ready to run, which it keeps from shard to shard."""

    def __init__(self, job: SamplingJob) -> None:
        self.job, self.engine = job, job.load()
        self.loop = warm_up(self.engine)

    def make(self, shard: int) -> int:
        """Make a shard, unless an actor that died after it had committed it did; returns its images."""
        record = run_record.read(self.job.folder)
        if record is not None and shard not in run_record.todo(self.job.folder, record):
            return record.images_in(shard)
        return self.job.sample([shard], self.engine, loop=self.loop).images
