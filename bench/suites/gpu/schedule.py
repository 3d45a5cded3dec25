"""Steps, the processes that they share, and their order."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes
    ----------
    call
        "module:function", called with the job, a `Report` and what the worker's preparation returned.
    seconds
        Its time limit.
    """

    name: str
    call: str
    seconds: float


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


@dataclass(frozen=True)
class Schedule:
    """Workers in their order.

    Attributes
    ----------
    first
        Before all others.
    beside
        Workers that need no quiet machine, side by side with each other and with the preparations of `alone`.
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
        """The same steps in few processes: nothing is prepared before its turn."""
        return replace(self, alone=(), last=(*self.alone, *self.last), reuse=True)

    @property
    def workers(self) -> tuple[Worker, ...]:
        return (*self.first, *self.beside, *self.alone, *self.last)

    @property
    def steps(self) -> list[Step]:
        """Every step, preparations included."""
        return [step for w in self.workers for step in (*((w.prepare,) if w.prepare else ()), *w.steps)]
