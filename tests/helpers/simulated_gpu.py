"""A device as CUDA is one, without a GPU: calls return at once, and their results are ready later, in turn."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field

import torch

from engines import Engine
from engines.calls import Calls


class SimulatedMark:
    """Reached when the device has done all that was queued before it."""

    def __init__(self) -> None:
        self.event, self.time = threading.Event(), 0.0

    def wait(self) -> None:
        self.event.wait()

    def reached(self) -> bool:
        return self.event.is_set()

    def since(self, earlier: SimulatedMark) -> float:
        return self.time - earlier.time


@dataclass
class SimulatedGpu:
    """A thread that works off a queue of jobs, each for its number of seconds.

    Attributes
    ----------
    worked
        Seconds, by the name of the job.
    """

    worked: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queue: queue.SimpleQueue[tuple[str, float, SimulatedMark] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def submit(self, name: str, seconds: float) -> SimulatedMark:
        """Queue a job; returns the mark of its end."""
        mark = SimulatedMark()
        self.queue.put((name, seconds, mark))
        return mark

    def close(self) -> None:
        self.queue.put(None)
        self.thread.join()

    def _work(self) -> None:
        while (job := self.queue.get()) is not None:
            name, seconds, mark = job
            begin = time.perf_counter()
            if seconds:
                time.sleep(seconds)
            mark.time = time.perf_counter()
            self.worked[name] = self.worked.get(name, 0.0) + mark.time - begin
            mark.event.set()


class SimulatedEngine(Engine):
    """An engine on such a device: it draws black images, and takes the time that is given.

    Parameters
    ----------
    like
        A real engine, whose numbers and tokenizer it has.
    unet_s, decode_s
        Seconds of one call of the UNet and of the decoder.
    """

    def __init__(self, like: Engine, gpu: SimulatedGpu, rows: int, unet_s: float, decode_s: float) -> None:
        self.gpu, self.decode_s = gpu, decode_s

        def unet(latents: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            gpu.submit("unet", unet_s)
            return torch.zeros_like(latents)

        calls = Calls(like.calls.text, unet, like.calls.decode, like.calls.encode, like.device)
        super().__init__(like.bundle, like.backend, rows, calls)

    def mark(self) -> SimulatedMark:
        return self.gpu.submit("mark", 0.0)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        self.gpu.submit("decode", self.decode_s)
        return torch.zeros(len(latents), self.spec.size, self.spec.size, 3, dtype=torch.uint8)
