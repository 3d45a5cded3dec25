"""Row packing: one queue of batch rows fills every static batch of the UNet.

Images at different steps, guided or not and with different settings, share a call; none of its rows is unused while
any row waits.
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
class RowQueue:
    """First come, first served, by batch rows rather than by images.

    An image waits until its last row has been run; the two rows of a guided image may be in different calls.
    """

    waiting: deque[BatchRow] = field(default_factory=deque)
    left: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.waiting)

    def push(self, slot: int, guided: bool) -> None:
        """Queue one step of an image: its conditional row and, if it is guided, its unconditional row."""
        assert slot not in self.left, "an image has one step in the queue at a time"
        self.waiting.append(BatchRow(slot, True))
        if guided:
            self.waiting.append(BatchRow(slot, False))
        self.left[slot] = 1 + guided

    def take(self, rows: int) -> list[BatchRow]:
        """The next rows, at most as many as given."""
        return [self.waiting.popleft() for _ in range(min(rows, len(self.waiting)))]

    def done(self, ran: list[BatchRow]) -> list[int]:
        """Record rows that were run; returns the slots whose step is now complete, in order."""
        complete = []
        for row in ran:
            self.left[row.slot] -= 1
            if not self.left[row.slot]:
                del self.left[row.slot]
                complete.append(row.slot)
        return complete
