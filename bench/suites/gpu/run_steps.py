"""Run steps in processes of their own, each within its time limit: one that fails, hangs or dies loses only itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from bench.suites.gpu.process import WorkerProcess, join_logs
from bench.suites.gpu.results import Job, Outcome, Report
from bench.suites.gpu.schedule import Schedule, Step, Worker
from bench.suites.gpu.worker import Fault, Request

#: No step begins with less time left.
LEAST_S = 1.0

#: Told how a step ended.
Say = Callable[[str, Outcome], object]


def run_steps(
    schedule: Schedule, job: Job, seconds: float, say: Say, faults: Mapping[str, Fault] | None = None
) -> None:
    """Do every step of a schedule, within `seconds` of the job's beginning; results and outcomes go to `job.out`.

    Parameters
    ----------
    faults
        What is done to steps on purpose, by name, when they are first tried: for rehearsals.
    """
    shared = _Shared(job, job.begun + seconds, say, dict(faults or {}), schedule.reuse)
    runs = {worker.name: _WorkerRun(worker, shared) for worker in schedule.workers}
    try:
        for worker in schedule.first:
            runs[worker.name].whole()
        calls: list[Callable[[], object]] = [partial(runs[w.name].whole, beside=True) for w in schedule.beside]
        calls += [partial(runs[w.name].prepared, beside=True) for w in schedule.alone]
        with ThreadPoolExecutor(max(1, len(calls))) as threads:
            try:
                for one in [threads.submit(call) for call in calls]:
                    one.result()
            except BaseException:  # interrupted: the threads must not go on with the next step
                shared.end = 0
                for run in runs.values():
                    run.end()
                raise
        for worker in (*schedule.alone, *(w for w in schedule.last if not w.extra)):
            runs[worker.name].whole()
        for worker in schedule.beside:
            runs[worker.name].again()
        for worker in (w for w in schedule.last if w.extra):
            runs[worker.name].whole()
    finally:
        for run in runs.values():
            run.end()
        for process in shared.spare:
            process.kill()
        join_logs(job)


@dataclass
class _Shared:
    """What the workers of a run share: its end, who is told, the faults left to make, and processes left by others."""

    job: Job
    end: float
    say: Say
    faults: dict[str, Fault]
    reuse: bool
    spare: list[WorkerProcess] = field(default_factory=list)

    def take(self, name: str) -> WorkerProcess:
        """A process for a worker: new, or one that another worker has left."""
        with suppress(IndexError):
            return self.spare.pop()
        return WorkerProcess(name, self.job)

    def give_back(self, process: WorkerProcess) -> None:
        """Take back the process of a worker that is done."""
        if self.reuse:
            self.spare.append(process)
        else:
            process.kill()

    def ended(self, step: Step, outcome: Outcome, again: bool = False) -> Outcome:
        report = Report(self.job, step.name, again=again)
        report.ended(outcome)
        self.say(report.step, outcome)
        return outcome


class _WorkerRun:
    """One worker of a run: its process, if it has one, the steps that are left, and what became of its preparation."""

    def __init__(self, worker: Worker, shared: _Shared) -> None:
        self.worker, self.shared = worker, shared
        self.process: WorkerProcess | None = None
        self.left, self.tries, self.broken = list(worker.steps), 0, ""
        self.held_up = list[Step]()

    def whole(self, beside: bool = False) -> None:
        """Do all steps that are left, and end the process. beside: others do theirs at the same time."""
        while self.left:
            step = self.left.pop(0)
            if self.prepared(beside):
                outcome = self._do(step, beside=beside)
                if beside and outcome.status == "stopped" and not step.once:
                    self.held_up.append(step)
            else:
                self.shared.ended(step, Outcome(status="not run", seconds=0, why=self.broken))
        if self.process is not None:
            self.shared.give_back(self.process)
            self.process = None

    def again(self) -> None:
        """Do once more what reached its limit beside others."""
        for step in self.held_up:
            self._do(step, again=True)
        self.end()

    def prepared(self, beside: bool = False) -> bool:
        """Whether there is a process for the next step, with the preparation done.

        A preparation that failed or reached its limit alone would do so again. One whose process died gets a second
        try, and one that reached its limit beside others gets it when it is this worker's turn.
        """
        prepare = self.worker.prepare
        if prepare is None or self.process is not None:
            return True
        while not self.broken:
            self.tries += 1
            outcome = self._do(prepare, prepares=True, again=self.tries > 1, beside=beside)
            if outcome.status == "done":
                return True
            self.end()
            if beside and outcome.status == "stopped":
                break
            if outcome.status != "died" or self.tries > 1:
                self.broken = f"{prepare.name}: {outcome.status}"
        return False

    def _do(self, step: Step, *, prepares: bool = False, again: bool = False, beside: bool = False) -> Outcome:
        limit = min(step.seconds, self.shared.end - time.time())
        if limit < LEAST_S:
            return self.shared.ended(step, Outcome(status="not run", seconds=0, why="no time was left"), again)
        fault = self.shared.faults.pop(step.name, None)
        request = Request(
            worker=self.worker.name,
            step=step.name,
            call=step.call,
            prepares=prepares,
            again=again,
            beside=beside,
            fault=fault,
        )
        process = self.process = self.process or self.shared.take(self.worker.name)
        begun = time.monotonic()
        reply = process.ask(request, limit)
        if not reply.usable:
            self.end()
        took = round(time.monotonic() - begun, 2)
        return self.shared.ended(step, Outcome(status=reply.status, seconds=took, why=reply.why), again)

    def end(self) -> None:
        """End the process and all that it started."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
