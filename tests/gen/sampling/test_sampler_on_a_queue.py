"""The sampler over a device that queues its work: its calls are full, and its clocks say what the device did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from simulated_gpu import SimulatedEngine, SimulatedGpu

from engines import Engine
from gen.diffusion import pace
from gen.diffusion.denoising_loop import InFlightImage
from gen.plan.plan import from_rows
from gen.sampling import sampler
from gen.sampling.prepare import Preparer
from gen.sampling.progress import Summary
from gen.sampling.run_record import describe
from gen.sampling.sampler import Sampler
from shards.format.images import encode_image

ROWS, STEPS, UNET_S, DECODE_S = 16, 8, 0.02, 0.02


@pytest.fixture
def gpu() -> Iterator[SimulatedGpu]:
    made = SimulatedGpu()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def images_of_512_px(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many under way as the window has room for at 512 px, and each a while in a PNG encoder."""

    def slowly(pixels: NDArray[np.uint8], *settings: Any) -> bytes:
        time.sleep(0.02)
        return encode_image(pixels, *settings)

    monkeypatch.setattr(sampler, "WINDOW_BYTES", 85 * 3 * 64**2)
    monkeypatch.setattr(sampler, "encode_image", slowly)


def run(engine: Engine, folder: Path, images: int) -> Summary:
    plan = from_rows(
        {"id": f"{i:04d}", "class": "x", "prompt": "a", "size": 64, "steps": STEPS, "guidance": 3.0}
        for i in range(images)
    )
    return Sampler(engine, plan, folder, describe(engine, plan, "s", 1000)).run([0])


def test_calls_are_full_and_the_device_never_waits(
    open_engine: Callable[..., Engine], gpu: SimulatedGpu, tmp_path: Path
) -> None:
    """Steps are queued no further ahead than the device needs, so that what enters joins the next call but two."""
    images = 160
    summary = run(SimulatedEngine(open_engine(), gpu, ROWS, UNET_S, DECODE_S), tmp_path, images)
    assert summary.calls < 1.15 * images * 2 * STEPS / ROWS
    assert summary.filled > 0.9
    assert summary.busy["denoise"] == pytest.approx(gpu.worked["unet"], rel=0.2)
    assert summary.busy["decode"] == pytest.approx(gpu.worked["decode"], rel=0.5)
    assert summary.waiting < 0.3


@pytest.mark.slow
def test_a_queue_without_an_end_would_run_nearly_empty(
    open_engine: Callable[..., Engine], gpu: SimulatedGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the limit is for: here the same run takes several times as many calls."""
    monkeypatch.setattr(pace, "AHEAD", 100_000)
    images = 200
    summary = run(SimulatedEngine(open_engine(), gpu, ROWS, UNET_S, DECODE_S), tmp_path, images)
    assert summary.calls > 2 * images * 2 * STEPS / ROWS
    assert summary.filled < 0.5


def test_waiting_is_what_the_device_stood_still(
    open_engine: Callable[..., Engine], gpu: SimulatedGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own clock: here each image takes longer to prepare than to denoise."""
    real, engine = Preparer.start, SimulatedEngine(open_engine(), gpu, ROWS, 0.01, 0.01)

    def slowly(self: Preparer, images: list[InFlightImage]) -> None:
        time.sleep(0.05 * len(images))
        real(self, images)

    monkeypatch.setattr(Preparer, "start", slowly)
    summary = run(engine, tmp_path, 32)
    idle = 1 - (gpu.worked["unet"] + gpu.worked["decode"]) / summary.seconds
    assert idle > 0.4  # else nothing is shown
    assert summary.waiting == pytest.approx(idle, abs=0.2)
    assert max(summary.waited, key=lambda name: summary.waited[name]) == "preparing"
