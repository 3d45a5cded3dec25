"""Steps, the processes that they share, and their order."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: A rehearsal shares its machine with others.
PATIENCE = 4.0
REHEARSED_SIDE_BY_SIDE = 2


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes
    ----------
    call
        "module:function", called with the job, a `Report` and what the worker's preparation returned.
    seconds
        Its time limit.
    extra
        Whether the run is whole without it: it may be stopped, or not be reached.
    once
        Not tried again alone after it reached its limit side by side with others: what it found until then is enough.
    """

    name: str
    call: str
    seconds: float
    extra: bool = False
    once: bool = False


@dataclass(frozen=True)
class Worker:
    """Steps that share one process, in this order. After a step that the process did not survive, a new one goes on.

    Attributes
    ----------
    prepare
        Done first in every new process of this worker; its result is given to each step.
    """

    name: str
    steps: tuple[Step, ...]
    prepare: Step | None = None

    def with_patience(self, factor: float) -> Worker:
        """The same with time limits that many times as long."""

        def patient(step: Step) -> Step:
            return replace(step, seconds=step.seconds * factor)

        return Worker(self.name, tuple(map(patient, self.steps)), self.prepare and patient(self.prepare))

    @property
    def extra(self) -> bool:
        """Whether the run is whole without it."""
        return all(step.extra for step in self.steps)


@dataclass(frozen=True)
class Schedule:
    """Workers in their order.

    Attributes
    ----------
    first
        Before all others.
    beside
        Workers that need no quiet machine, side by side with each other and with the preparations of `alone`. What
        reaches its time limit there is tried once more, alone, if there is time: the others may have held it up.
    alone
        Prepared side by side, then their steps with the machine to themselves, one worker after another.
    last
        Like `alone`, but prepared when it is their turn.
    reuse
        A process that has done one worker's steps goes on with another's, so libraries are loaded once. For rehearsals.
    """

    first: tuple[Worker, ...]
    beside: tuple[Worker, ...]
    alone: tuple[Worker, ...]
    last: tuple[Worker, ...]
    reuse: bool = False

    def rehearsed(self) -> Schedule:
        """The same steps in few processes, with patience. Two are prepared side by side, the others in their turn."""
        first, beside, alone, last = (
            tuple(worker.with_patience(PATIENCE) for worker in workers)
            for workers in (self.first, self.beside, self.alone, self.last)
        )
        early = tuple(worker for worker in alone if worker.prepare)[:REHEARSED_SIDE_BY_SIDE]
        later = tuple(worker for worker in alone if worker not in early)
        return Schedule(first, beside, early, (*later, *last), reuse=True)

    @property
    def workers(self) -> tuple[Worker, ...]:
        return (*self.first, *self.beside, *self.alone, *self.last)

    @property
    def steps(self) -> list[Step]:
        """Every step, preparations included."""
        return [step for w in self.workers for step in (*((w.prepare,) if w.prepare else ()), *w.steps)]
