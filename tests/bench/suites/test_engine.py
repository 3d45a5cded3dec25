"""Engines compared with their peers: the same weights, and speed-ups with their bars."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bench.measure.device import PeakMemory
from bench.measure.flops import Flops
from bench.measure.record import Measurement
from bench.peers.pipelines import PEERS
from bench.peers.workload import workload
from bench.suites import engine as measure
from bench.suites.engine import Loaded, Setup
from dermforge.common.errors import UserError
from engines.engine import Engine
from gen.diffusion.denoising_loop import DenoisingLoop


def test_peers_of_other_weights_are_refused(engine: Engine, bundle: Path) -> None:
    """A comparison of two models is none of two engines."""
    with pytest.raises(UserError, match="was built from other weights"):
        measure.check_same_model(bundle, [Loaded("x", engine)])


def test_speedups_have_their_bars() -> None:
    """On a CPU each peer's best batch counts; on a GPU plain diffusers at the paper's, and the share of the ceiling."""

    def rate(name: str, value: float, **details: object) -> Measurement:
        return Measurement.model_validate(
            {
                "name": f"whole/{name}",
                "unit": "images/s",
                "samples": [value],
                "details": {"precision": "fp32"} | details,
            }
        )

    runs = [
        rate("ours/x", 12, share=0.7),
        rate("ours/plans", 24, precision="bf16"),
        rate("diffusers/batch 32", 6, batch=32),
        rate("diffusers/batch 16", 3, batch=16),
        rate("optimum/batch 16", 8, batch=16),
    ]
    found = measure.speedups(runs, "cpu")
    assert {m.name: (m.median, m.details["bar"]) for m in found} == {
        "speedup/over diffusers": (2.0, 2.0),
        "speedup/over optimum": (1.5, 1.5),
        "speedup/plans over diffusers": (4.0, 2.0),
        "speedup/plans over optimum": (3.0, 1.5),
    }
    assert (found[1].details["precision"], found[1].details["its precision"]) == ("bf16", "fp32")
    gpu = {m.name: m.median for m in measure.speedups(runs, "cuda") if "plans" not in m.name}
    assert gpu == {"speedup/over diffusers": 4.0, "speedup/over optimum": 1.5, "share/ours": 0.7}


@pytest.mark.parametrize(
    ("device", "files", "possible"),
    [("cpu", [], [8, 16, 24, 32]), ("cpu", ["unet.so"], [16, 32]), ("cuda", ["unet.plan"], [16])],
)
def test_a_sweep_leaves_out_what_engine_files_are_not_for(device: str, files: list[str], possible: list[int]) -> None:
    bundle = SimpleNamespace(engine_files=lambda backend: files, manifest=SimpleNamespace(rows=16))
    engine: Any = SimpleNamespace(bundle=bundle, backend="any", device=torch.device(device))
    assert measure.possible_rows(engine, [8, 16, 24, 32]) == possible


def test_other_rows_keep_the_mode_of_compiling(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep of another mode would be compared with an engine that it is not."""
    given: dict[str, Any] = {}
    monkeypatch.setattr("engines.load", lambda *_, **options: given.update(options) or engine)
    like: Any = SimpleNamespace(bundle=engine.bundle, backend=engine.backend, compile_mode="autotune")
    Loaded("ours", like).with_rows(8)
    assert (given["rows"], given["compile_mode"]) == (8, "autotune")


def test_a_step_is_recorded_once_and_not_in_every_timed_run(engine: Engine) -> None:
    draw: Any = measure._drawer(engine, [])
    loop = draw.keywords["loop"]
    assert isinstance(loop, DenoisingLoop)
    assert loop.engine is engine


def test_the_memory_of_a_peer_leaves_out_what_others_hold(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours come first and stay in memory."""
    counted: list[bool] = []

    class Memory(PeakMemory):
        def __init__(self, device: torch.device, *, added: bool = False) -> None:
            counted.append(added)
            super().__init__(device, added=added)

    monkeypatch.setattr(measure, "PeakMemory", Memory)
    monkeypatch.setitem(PEERS, "diffusers", lambda *_: lambda: np.ones((1, 64, 64, 3), np.uint8))
    one = workload(engine.spec, 1, steps=1, guidance=1)
    setup = Setup(engine.bundle.folder, one, Flops(1, 1, 1, 1), {}, repeats=1)
    measure.whole([Loaded("x", engine)], ["diffusers"], [16], setup)
    assert counted == [False, True]
