"""Marks in a device's queue of work: whether the device has come to one, and the seconds between two.

On CUDA a call returns when its work is queued. The CPU's clock then says nothing of the device, and a queue without an
end keeps every result of a run waiting behind it.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import torch


class Mark(Protocol):
    """A point behind all that a device was asked for so far."""

    def wait(self) -> None:
        """Until the device has come to it."""

    def reached(self) -> bool:
        """Whether the device has come to it."""

    def since(self, earlier: Any) -> float:
        """Seconds from an earlier mark of the same kind, by the device's clock; only after both were reached."""


class HostMark:
    """Of the CPU, which has done what it was asked for when a call returns."""

    def __init__(self) -> None:
        self.time = time.perf_counter()

    def wait(self) -> None:
        pass

    def reached(self) -> bool:
        return True

    def since(self, earlier: HostMark) -> float:
        return self.time - earlier.time


class CudaMark:
    """An event on the current stream. Waiting for it sleeps: a core that spins is one less for encoding images."""

    def __init__(self, device: torch.device) -> None:
        self.event = torch.cuda.Event(enable_timing=True, blocking=True)
        self.event.record(torch.cuda.current_stream(device))

    def wait(self) -> None:
        self.event.synchronize()

    def reached(self) -> bool:
        return bool(self.event.query())

    def since(self, earlier: CudaMark) -> float:
        return float(earlier.event.elapsed_time(self.event)) / 1000


def mark(device: torch.device) -> Mark:
    """A mark behind what the calling thread asked a device for so far."""
    return CudaMark(device) if device.type == "cuda" else HostMark()
