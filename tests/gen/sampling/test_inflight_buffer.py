"""Between the sampler's stages: a bounded number of images, and waiting that is put down to who was waited for."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from runs_helpers import rows as plan_rows

import engines
from engines import Engine
from gen.builtin import pipeline_folder
from gen.plan.grid import GenerationSettings
from gen.plan.request import CellRequest, new_plan
from gen.sampling import sampler
from gen.sampling.prepare import Preparer
from gen.sampling.progress import StageProgress, Summary
from gen.sampling.run_record import describe
from gen.sampling.sampler import Sampler
from shards.format.images import encode_image

FILE_BYTES = 200_000


def sampled(engine: Engine, folder: Path, per_cell: int, on_image: Callable[[list[StageProgress]], None]) -> Summary:
    plan = plan_rows(per_cell, steps=1)
    return Sampler(engine, plan, folder, describe(engine, plan, "s", len(plan))).run([0], on_image)


def resident_mb() -> float:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> int:
    """Three batches of eight rows and no more: the images that may be between the plan and the disk."""
    monkeypatch.setattr(sampler, "WINDOW_BYTES", 0)
    return 3 * 8


def test_ten_times_the_images_take_no_more_memory(
    open_engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_window: int
) -> None:
    """Files of 0.2 MB: 640 of them would be 128 MB; of their pixels at most a window is ever there."""
    alive: list[weakref.ref[NDArray[np.uint8]]] = []
    most, held = 0, [resident_mb()]

    def large_file(pixels: NDArray[np.uint8], *settings: Any) -> bytes:
        alive.append(weakref.ref(pixels))
        return encode_image(pixels, *settings) + bytes(FILE_BYTES)

    def look(_: list[StageProgress]) -> None:
        nonlocal most
        alive[:] = [one for one in alive if one() is not None]
        most = max(most, len(alive))
        held.append(resident_mb())

    monkeypatch.setattr(sampler, "encode_image", large_file)
    engine = open_engine()
    sampled(engine, tmp_path / "short", 16, look)
    short, held[:] = max(held), []
    sampled(engine, tmp_path / "long", 160, look)
    assert len(held) == 640
    assert max(held) - short < 640 * FILE_BYTES / 1e6 / 4
    assert 0 < most <= small_window


def test_images_wait_outside_while_the_window_is_full(
    open_engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_window: int
) -> None:
    """A disk that stands still stops the plan from being read, not only the writing."""
    started = []
    start = Preparer.start

    def counted(self: Preparer, images: Any) -> None:
        started.extend(images)
        start(self, images)

    monkeypatch.setattr(Preparer, "start", counted)
    ahead, written = [], 0

    def look(_: list[StageProgress]) -> None:
        nonlocal written
        written += 1
        time.sleep(0.005)
        ahead.append(len(started) - written)

    sampled(open_engine(), tmp_path, 30, look)
    assert written == len(started) == 120
    assert max(ahead) <= small_window


@pytest.mark.parametrize(("slow", "rows"), [("preparing", 8), ("decoding and writing", 2)])
def test_the_summary_says_how_long_the_engine_waited_and_for_what(
    open_engine: Callable[..., Engine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_window: int,
    slow: str,
    rows: int,
) -> None:
    """Parents that come slowly, or a disk that takes its time: most of the run, and put down to the right one."""
    start = Preparer.start

    def slowly(self: Preparer, images: Any) -> None:
        time.sleep(0.04 * len(images))
        start(self, images)

    if slow == "preparing":
        monkeypatch.setattr(Preparer, "start", slowly)
    pause = 0.0 if slow == "preparing" else 0.08
    summary = sampled(open_engine(rows=rows), tmp_path, 10, lambda _: time.sleep(pause))
    assert summary.waiting == pytest.approx(sum(summary.waited.values()) / summary.seconds)
    assert summary.waiting > 0.25
    assert summary.waited[slow] > 0.8 * sum(summary.waited.values())


@pytest.mark.slow
def test_the_engine_hardly_waits(tmp_path: Path) -> None:
    """The built-in pipeline on the CPU, files and all: less than 10 % of the time."""
    engines.build(pipeline_folder(), tmp_path / "bundle", backend="torch", rows=8)
    engine = engines.load(tmp_path / "bundle", device="cpu")
    plan = new_plan(GenerationSettings(size=64, steps=10), CellRequest(per_cell=2), engine.spec)
    summary = Sampler(engine, plan, tmp_path / "out", describe(engine, plan, "s", 20)).run(range(4))
    assert summary.images == 72
    assert summary.waiting < 0.10, summary.waited
