"""The sampler: a plan through an engine into shards, with every stage working at once.

    prepare  ->  denoise  ->  decode  ->  encode  ->  write
    (thread)     (caller)     (thread)    (threads)   (thread)

Each of the engine's calls is made by one thread only. Images enter and leave in the plan's order, through a buffer of
bounded size; in between they finish in any order.
"""

from __future__ import annotations

import os
import queue
import resource
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engines.engine import Engine
from gen.diffusion.denoising_loop import DenoisingLoop, InFlightImage
from gen.diffusion.strategies import Pixels
from gen.plan.parents import Parents
from gen.plan.plan import Plan, PlanRow
from gen.sampling import run_record
from gen.sampling.image_record import mark_of_row, sample_of
from gen.sampling.inflight_buffer import InFlightBuffer, Stopped
from gen.sampling.prepare import Preparer
from gen.sampling.progress import STAGES, WAITS, Clock, StageProgress, Summary
from gen.sampling.run_record import RunRecord
from gen.sampling.warm_up import warm_up
from shards.format.images import encode_image
from shards.format.provenance import Provenance
from shards.format.schema import Sample
from shards.format.writer import write_shard

#: Pixels of images under way, at most, beyond three full batches.
WINDOW_BYTES = 64 << 20
POLL_S = 0.05


class Sampler:
    """One run over some shards of a plan.

    Parameters
    ----------
    location
        Where the shards go, a folder or an fsspec address.
    run
        What is the same in all shards of the run.
    parents
        Needed by the strategies that start from real images.
    loop
        Of the engine, from `warm_up`, where it serves several runs; None to make one.
    """

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        location: str | Path,
        run: RunRecord,
        parents: Parents | None = None,
        loop: DenoisingLoop | None = None,
    ) -> None:
        self.engine, self.plan, self.location, self.record = engine, plan, location, run
        self.withdrawn = run_record.withdrawn(location)
        self.preparer = Preparer(engine, parents)
        window = 3 * engine.rows * (1 if engine.base is None else 2) + WINDOW_BYTES // (3 * engine.spec.size**2)
        self.buffer: InFlightBuffer[Any] = InFlightBuffer(min(window, 1024))
        self.ready: queue.SimpleQueue[list[InFlightImage] | None] = queue.SimpleQueue()
        self.drawn: queue.SimpleQueue[list[InFlightImage] | None] = queue.SimpleQueue()
        self.encoders = ThreadPoolExecutor(max(1, min(4, (os.cpu_count() or 1) // 2)), "encode")
        self.clock = Clock()
        self.on_image: Callable[[list[StageProgress]], None] | None = None
        self.loop = loop or warm_up(engine)
        self.returning, self.finished, self.blocked = 0, False, False

    def run(self, shards: Sequence[int], on_image: Callable[[list[StageProgress]], None] | None = None) -> Summary:
        """Sample the shards of these numbers, in this order.

        Parameters
        ----------
        on_image
            Called after each image is handed to its shard, with where each stage is at that time.

        Raises
        ------
        UserError
            A parent or a plan row cannot be used; shards that were finished stay, the one in progress goes.
        """
        self.on_image, self.clock, loop = on_image, Clock(), self.loop
        loop.restart()
        with self.encoders, ThreadPoolExecutor(3, "stage") as threads:
            stages: list[Future[None]] = []
            try:  # from the first thread on: one that nobody stops is waited for at the end of `with`
                for stage in (self._prepare, self._decode, self._write):
                    stages.append(threads.submit(stage, shards))
                    stages[-1].add_done_callback(self._ended)
                self._denoise(loop)
            except Stopped:
                pass
            except BaseException as error:
                self.buffer.stop(error)
                raise
            finally:
                if not self.finished:
                    self.buffer.stop(Stopped())
        for ended in stages:
            if not isinstance(ended.exception(), Stopped):
                ended.result()
        return self._summary(loop, shards)

    def _ended(self, stage: Future[None]) -> None:
        if (error := stage.exception()) is not None:
            self.buffer.stop(error)

    # prepare: plan rows, prompts, parents and starting noise

    def _prepare(self, shards: Sequence[int]) -> None:
        with self.clock("prepare"):
            numbers = np.arange(len(self.plan)) // self.record.shard_size
            self.preparer.read_ahead(self.plan, np.isin(numbers, shards))
        rows = enumerate(self._rows(shards))
        more, batch = True, self.engine.vae_batch
        while True:
            back, new = self.buffer.enter(batch, more, self.returning)
            if not back and not new:
                self.ready.put(None)
                return
            images = []
            with self.clock("prepare"):
                fresh = [self.preparer.new(number, row) for number, row in islice(rows, new)]
                self.buffer.unused(new - len(fresh))
                more = more and len(fresh) == new
                self.returning += sum(len(image.phases) - 1 for image in fresh) - len(back)
                images = back + fresh
                self.preparer.start(images)
            self.clock.add("prepare", 0.0, len(images))
            if images:
                self.ready.put(images)

    def _rows(self, shards: Sequence[int]) -> Iterator[PlanRow]:
        for shard in shards:
            yield from self._rows_of(shard)

    def _rows_of(self, shard: int) -> list[PlanRow]:
        """The plan rows of a shard, without those of images that were withdrawn from the run."""
        size = self.record.shard_size
        rows = self.plan.rows(shard * size, (shard + 1) * size)
        return [row for row in rows if not self.withdrawn.holds(row.id, row.parent)]

    # denoise: the caller's thread

    def _denoise(self, loop: DenoisingLoop) -> None:
        waiting: list[InFlightImage] = []
        ended = False
        while True:
            self.buffer.check_stopped()
            while loop.hungry and (waiting or not ended):
                if waiting:
                    loop.admit(waiting.pop(0))
                    continue
                got = self._next(loop.busy)
                if got is None:
                    ended = True
                elif got:
                    waiting = got
                else:
                    break  # nothing will come until an image that is here has left
            if not loop.busy:
                break
            finished = loop.step()
            self._timed(loop, len(finished))
            if finished:
                self.drawn.put(finished)
        self.drawn.put(None)
        self.finished = True
        loop.pace.restart()
        self._timed(loop)

    def _timed(self, loop: DenoisingLoop, images: int = 0) -> None:
        """Count how long the device worked, and how long it stood still: for what this thread waited for last."""
        worked, stood = loop.pace.take()
        self.clock.add("denoise", worked, images)
        self.clock.add(WAITS[self.blocked], stood)

    def _next(self, busy: bool) -> list[InFlightImage] | None:
        """The next prepared images; [] to continue with those that are here, None at the end."""
        while True:
            self.blocked = self.buffer.blocked
            try:
                return self.ready.get(timeout=0 if self.blocked and busy else POLL_S)
            except queue.Empty:
                self.buffer.check_stopped()
                if self.blocked and busy:
                    return []

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
                    self.buffer.check_stopped()
                    short = True  # a short batch is better than a writer that waits
                else:
                    ended = got is None
                    pending += got or []
            while len(pending) >= batch or (pending and (ended or short)):
                self._finish(pending[:batch])
                del pending[:batch]

    def _finish(self, images: list[InFlightImage]) -> None:
        begin = self.engine.mark()
        latents = torch.stack([image.latents for image in images if image.latents is not None])
        decoded = self.engine.decode(latents)
        end, arrays = self.engine.mark(), decoded.cpu().numpy()
        end.wait()
        self.clock.add("decode", end.since(begin), len(images))
        for image, pixels in zip(images, arrays, strict=True):
            finished = image.end_phase(pixels)
            if finished is None:
                self.buffer.send_back(image)
            else:
                self.buffer.deliver(image.number, (image.row, self.encoders.submit(self._encode, finished, image.row)))

    def _encode(self, pixels: Pixels, row: PlanRow) -> bytes:
        with self.clock("encode", 1):
            run = self.record
            return encode_image(pixels, run.image_format, run.quality, mark_of_row(row, run))

    # write: shards in order

    def _write(self, shards: Sequence[int]) -> None:
        number, engine = 0, self.engine
        lineage = tuple(engine.spec.lineage)
        certificates = self.record.certificates
        provenance = Provenance(self.plan.digest, engine.bundle_digest, engine.model_digest, lineage, certificates)
        for shard in shards:
            n = len(self._rows_of(shard))
            items = self._items(number, n)
            classes = self.record.classes
            write_shard(self.location, self.record.name, shard, items, classes=classes, provenance=provenance)
            number += n

    def _items(self, first: int, n: int) -> Iterator[tuple[Sample, bytes, str]]:
        by_base = self.plan.by_base
        for number in range(first, first + n):
            result: tuple[PlanRow, Future[bytes]] = self.buffer.collect(number)
            row, encoded = result
            data = encoded.result()
            with self.clock("write", 1):  # until the writer asks for the next one
                yield sample_of(row, self.record, by_base), data, self.record.image_format
            self.buffer.leave()
            if self.on_image:
                self.on_image(self.clock.stages())

    def _summary(self, loop: DenoisingLoop, shards: Sequence[int]) -> Summary:
        images, seconds = sum(len(self._rows_of(shard)) for shard in shards), self.clock.elapsed
        waited = {name: self.clock.seconds[name] for name in WAITS.values()}
        return Summary(
            images=images,
            shards=len(shards),
            seconds=seconds,
            images_per_second=images / seconds,
            forwards_per_image=loop.rows / max(images, 1),
            calls=loop.calls,
            filled=loop.rows / max(loop.calls * self.engine.rows, 1),
            waiting=sum(waited.values()) / seconds,
            waited=waited,
            busy={name: self.clock.seconds[name] for name in STAGES},
            peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )
