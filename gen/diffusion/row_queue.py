"""Row packing: queues of batch rows, one for each denoiser, fill every static batch.

Images at different steps, guided or not and with different settings, share a call; none of its rows is unused while
enough rows wait for one denoiser. An image waits for one denoiser at a time, with one row at least. So where there are
as many images as the calls of all denoisers have rows together, one queue fills a call.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class BatchRow:
    """One row of a UNet call: an image's slot, conditional (its prompt) or unconditional (its negative prompt)."""

    slot: int
    conditional: bool


@dataclass
class RowQueues:
    """First come, first served, by batch rows rather than by images; the longest queue is served first.

    An image waits until its last row has been run; the two rows of a guided image may be in different calls.
    """

    waiting: list[deque[BatchRow]]
    left: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, denoisers: int) -> RowQueues:
        return cls([deque() for _ in range(denoisers)])

    def __len__(self) -> int:
        return sum(map(len, self.waiting))

    def full(self, rows: int) -> bool:
        """Whether the rows that wait for one denoiser fill a call."""
        return max(map(len, self.waiting)) >= rows

    def push(self, slot: int, guided: bool, denoiser: int = 0) -> None:
        """Queue one step of an image: its conditional row and, if it is guided, its unconditional row."""
        assert slot not in self.left, "an image has one step in the queues at a time"
        self.waiting[denoiser].append(BatchRow(slot, True))
        if guided:
            self.waiting[denoiser].append(BatchRow(slot, False))
        self.left[slot] = 1 + guided

    def take(self, rows: int) -> tuple[int, list[BatchRow]]:
        """The denoiser with the longest queue, and its next rows, at most as many as given."""
        denoiser = max(range(len(self.waiting)), key=lambda i: len(self.waiting[i]))
        queue = self.waiting[denoiser]
        return denoiser, [queue.popleft() for _ in range(min(rows, len(queue)))]

    def done(self, ran: list[BatchRow]) -> list[int]:
        """Record rows that were run; returns the slots whose step is now complete, in order."""
        complete = []
        for row in ran:
            self.left[row.slot] -= 1
            if not self.left[row.slot]:
                del self.left[row.slot]
                complete.append(row.slot)
        return complete
