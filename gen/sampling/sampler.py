"""The sampler: a plan through an engine into shards, with every stage working at once.

    prepare  ->  denoise  ->  decode  ->  encode  ->  write
    (thread)     (caller)     (thread)    (threads)   (thread)

Each of the engine's calls is made by one thread only. Images enter and leave in the plan's order through a
`InFlightBuffer` of bounded size; between those ends they finish as they may.
"""

from __future__ import annotations

import os
import queue
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from engines.engine import Engine
from gen.diffusion import strategies
from gen.diffusion.denoising_loop import DenoisingLoop, InFlightImage
from gen.plan.parents import Parents
from gen.plan.plan import Plan, PlanRow
from gen.sampling.inflight_buffer import Clock, InFlightBuffer, Stopped
from gen.sampling.prepare import Preparer
from shards.format.images import encode_image
from shards.format.schema import Provenance, Sample, Sidecar
from shards.format.writer import write_shard

#: Pixels of images under way, at most, beyond three full batches.
WINDOW_BYTES = 64 << 20
POLL_S = 0.05
#: What the engine waits for, by whether images must leave before others may enter.
WAITS = {False: "preparing", True: "decoding and writing"}
STAGES = ("prepare", "denoise", "decode", "encode", "write")


@dataclass(frozen=True)
class StageProgress:
    """How far a stage is: the images that passed it, and the part of the time that it worked (over 1: in threads)."""

    name: str
    images: int
    busy: float


@dataclass(frozen=True)
class Destination:
    """Where the shards go (a folder or an fsspec address) and what is the same in all of them."""

    folder: str | Path
    name: str
    shard_size: int
    classes: tuple[str, ...]
    image_format: str = "png"
    quality: int = 95


@dataclass(frozen=True)
class Summary:
    """What a run did and what the engine waited for.

    Attributes
    ----------
    waited
        Seconds that the engine stood still, by what it waited for.
    busy
        Seconds that each stage worked.
    filled
        Part of all rows of all UNet calls that were of use.
    """

    images: int
    shards: int
    seconds: float
    images_per_second: float
    forwards_per_image: float
    calls: int
    filled: float
    waiting: float
    waited: dict[str, float]
    busy: dict[str, float]
    peak_memory_mb: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Sampler:
    """One run over some shards of a plan.

    Parameters
    ----------
    parents
        Needed by the strategies that start from real images.
    on_image
        Called after each image is handed to its shard, with where each stage is at that time.
    on_shard
        Called with the sidecar of each finished shard.
    """

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        target: Destination,
        parents: Parents | None = None,
        on_image: Callable[[list[StageProgress]], None] = lambda _: None,
        on_shard: Callable[[Sidecar], None] = lambda _: None,
    ) -> None:
        self.engine, self.plan, self.target = engine, plan, target
        self.preparer = Preparer(engine, parents)
        self.on_image, self.on_shard = on_image, on_shard
        size = engine.spec.size
        window = 3 * engine.rows + WINDOW_BYTES // (3 * size * size)
        self.flow: InFlightBuffer[Any] = InFlightBuffer(min(window, 1024))
        self.clock = Clock()
        self.ready: queue.SimpleQueue[list[InFlightImage] | None] = queue.SimpleQueue()
        self.drawn: queue.SimpleQueue[list[InFlightImage] | None] = queue.SimpleQueue()
        self.encoders = ThreadPoolExecutor(max(1, min(4, (os.cpu_count() or 1) // 2)), "encode")
        self.returning, self.finished, self.started = 0, False, 0.0

    def run(self, shards: Sequence[int]) -> Summary:
        """Sample the shards of these numbers, in this order.

        Raises
        ------
        UserError
            A parent or a row cannot be used; shards that were finished stay, the one in progress goes.
        """
        self.started = time.perf_counter()
        denoiser = DenoisingLoop(self.engine)
        with self.encoders, ThreadPoolExecutor(3, "stage") as threads:
            stages = [threads.submit(stage, shards) for stage in (self._prepare, self._decode, self._write)]
            for stage in stages:
                stage.add_done_callback(self._ended)
            try:
                self._denoise(denoiser)
            except Stopped:
                pass  # the stage that failed says why, below
            finally:  # Ctrl-C too: the other threads must end before it goes on
                if not self.finished:
                    self.flow.stop(Stopped())
        for stage in stages:
            if not isinstance(stage.exception(), Stopped):
                stage.result()
        return self._summary(denoiser, shards, time.perf_counter() - self.started)

    def _ended(self, stage: Future[None]) -> None:
        if (error := stage.exception()) is not None:
            self.flow.stop(error)

    # prepare: rows, prompts, parents and starting noise

    def _prepare(self, shards: Sequence[int]) -> None:
        rows = enumerate(self._rows(shards))
        more, batch = True, self.engine.vae_batch
        while True:
            back, new = self.flow.enter(batch, more, self.returning)
            if not back and not new:
                self.ready.put(None)
                return
            with self.clock("prepare"):
                fresh = [self.preparer.work(number, row) for number, row in _first(rows, new)]
                self.flow.unused(new - len(fresh))
                more = more and len(fresh) == new
                self.returning += sum(len(w.phases) - 1 for w in fresh) - len(back)
                works = back + fresh
                self.preparer.start(works)
            self.clock.add("prepare", 0.0, len(works))
            if works:
                self.ready.put(works)

    def _rows(self, shards: Sequence[int]) -> Iterator[PlanRow]:
        size = self.target.shard_size
        for shard in shards:
            yield from self.plan.rows(shard * size, (shard + 1) * size)

    # denoise: the caller's thread

    def _denoise(self, denoiser: DenoisingLoop) -> None:
        waiting: list[InFlightImage] = []
        ended = False
        while True:
            self.flow.check_stopped()
            while denoiser.hungry and (waiting or not ended):
                if waiting:
                    denoiser.admit(waiting.pop(0))
                    continue
                got = self._next(denoiser.busy)
                if got is None:
                    ended = True
                elif got:
                    waiting = got
                else:
                    break  # nothing will come until an image that is here has left
            if not denoiser.busy:
                break
            with self.clock("denoise"):
                finished = denoiser.step()
            if finished:
                self.clock.add("denoise", 0.0, len(finished))
                self.drawn.put(finished)
        self.drawn.put(None)
        self.finished = True

    def _next(self, busy: bool) -> list[InFlightImage] | None:
        """The next prepared images; [] to go on with those that are here, None at the end."""
        while True:
            blocked = self.flow.blocked
            start = time.perf_counter()
            try:
                return self.ready.get(timeout=0 if blocked and busy else POLL_S)
            except queue.Empty:
                self.flow.check_stopped()
                if blocked and busy:
                    return []
            finally:
                self.clock.add(WAITS[blocked], time.perf_counter() - start)

    # decode: latents to pixels, in the decoder's batches

    def _decode(self, shards: Sequence[int]) -> None:
        batch, ended = self.engine.vae_batch, False
        pending: list[InFlightImage] = []
        while not ended or pending:
            short = False
            if not ended and len(pending) < batch:
                try:
                    got = self.drawn.get(timeout=POLL_S)
                except queue.Empty:
                    self.flow.check_stopped()
                    short = True  # rather a short batch than a writer that waits
                else:
                    ended = got is None
                    pending += got or []
            while len(pending) >= batch or (pending and (ended or short)):
                with self.clock("decode"):
                    self._finish(pending[:batch])
                self.clock.add("decode", 0.0, len(pending[:batch]))
                del pending[:batch]

    def _finish(self, works: list[InFlightImage]) -> None:
        latents = torch.stack([w.latents for w in works if w.latents is not None])
        for work, pixels in zip(works, self.engine.decode(latents).cpu().numpy(), strict=True):
            if work.before is not None:
                pixels = strategies.keep(pixels, work.before, work.mask)
            work.latents = work.extra = work.kept = None
            if work.phase + 1 < len(work.phases):
                work.before, work.phase = pixels, work.phase + 1
                self.flow.send_back(work)
            else:
                work.before = None
                self.flow.deliver(work.number, (work.row, self.encoders.submit(self._encode, pixels)))

    def _encode(self, pixels: strategies.Pixels) -> bytes:
        start = time.perf_counter()
        encoded = encode_image(pixels, self.target.image_format, self.target.quality)
        self.clock.add("encode", time.perf_counter() - start, 1)
        return encoded

    # write: shards in order

    def _write(self, shards: Sequence[int]) -> None:
        number, size = 0, self.target.shard_size
        engine = self.engine
        lineage = tuple(engine.spec.lineage)
        provenance = Provenance(self.plan.digest, engine.bundle_digest, engine.model_digest, lineage)
        for shard in shards:
            n = min(size, len(self.plan) - shard * size)
            sidecar = write_shard(
                self.target.folder,
                self.target.name,
                shard,
                self._items(number, n),
                classes=self.target.classes,
                provenance=provenance,
            )
            number += n
            self.on_shard(sidecar)

    def _items(self, first: int, n: int) -> Iterator[tuple[Sample, bytes, str]]:
        for number in range(first, first + n):
            result: tuple[PlanRow, Future[bytes]] = self.flow.collect(number)
            row, encoded = result
            data = encoded.result()
            start = time.perf_counter()
            yield self._sample(row), data, self.target.image_format
            self.clock.add("write", time.perf_counter() - start, 1)  # until the writer asks for the next one
            self.flow.leave()
            self.on_image(self._stages())

    def _stages(self) -> list[StageProgress]:
        seconds = max(time.perf_counter() - self.started, 1e-9)
        return [StageProgress(k, self.clock.images[k], self.clock.seconds[k] / seconds) for k in STAGES]

    def _sample(self, row: PlanRow) -> Sample:
        return Sample(
            **row.model_dump(by_alias=True),
            origin="synthetic",
            cluster=row.parent,
            plan_digest=self.plan.digest,
            model_digest=self.engine.model_digest,
            bundle_digest=self.engine.bundle_digest,
        )

    def _summary(self, denoiser: DenoisingLoop, shards: Sequence[int], seconds: float) -> Summary:
        size = self.target.shard_size
        images = sum(min(size, len(self.plan) - shard * size) for shard in shards)
        seen = dict(self.clock.seconds)
        waited = {k: seen.get(k, 0.0) for k in WAITS.values()}
        return Summary(
            images,
            len(shards),
            seconds,
            images / seconds,
            denoiser.rows / max(images, 1),
            denoiser.calls,
            denoiser.rows / max(denoiser.calls * self.engine.rows, 1),
            sum(waited.values()) / seconds,
            waited,
            {k: seen.get(k, 0.0) for k in STAGES},
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )


def _first(items: Iterator[tuple[int, PlanRow]], n: int) -> list[tuple[int, PlanRow]]:
    return [item for _, item in zip(range(n), items, strict=False)]
