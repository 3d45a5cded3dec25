"""The sampler: diffusers' images, bytes that depend on the row alone, resumable, bounded, and clean on failure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

import engines
from engines import Engine
from engines.conditioning import Conditioning
from gen.diffusion import noise
from gen.diffusion.denoising_loop import DenoisingLoop
from gen.plan import cells, grid, plan
from gen.plan.grid import GenerationSettings
from gen.plan.plan import Plan
from gen.sampling import run_record
from gen.sampling.progress import Summary
from gen.sampling.sampler import Sampler
from gen.sampling.warm_up import warm_up
from shards.format.images import encode_image
from shards.format.reader import ShardSet

TEMPLATE = "An image of {class}, {group} skin"
CLASSES, GROUPS = ("plaque", "ulcer"), ("very_light", "dark")


def plan_of(per_cell: int, **settings: object) -> Plan:
    counts = cells.uniform(CLASSES, GROUPS, per_cell)
    return plan.from_rows(grid.rows(GenerationSettings(size=64, **{"steps": 3, **settings}), TEMPLATE, counts))  # type: ignore[arg-type]


def mixed_plan(n: int = 12) -> Plan:
    """Rows of different solvers, steps, guidance and intervals, so that batches are never aligned."""
    solvers = ("ddim", "euler", "dpmsolver++", "unipc", "lcm")
    return plan.from_rows(
        {
            "id": f"r{i:03d}",
            "class": CLASSES[i % 2],
            "group": GROUPS[i % 2],
            "size": 64,
            "prompt": f"An image of {CLASSES[i % 2]}, dark skin",
            "solver": solvers[i % 5],
            "steps": 2 + i % 4,
            "guidance": (1.0, 3.0, 5.0)[i % 3],
            "guidance_interval": (0.3, 5.0) if i % 2 else None,
        }
        for i in range(n)
    )


def sampled(engine: Engine, made: Plan, folder: Path, shard_size: int = 5, shards: list[int] | None = None) -> Summary:
    record = run_record.describe(engine, made, "s", shard_size)
    return Sampler(engine, made, folder, record).run(range(record.shards) if shards is None else shards)


def images(folder: Path) -> dict[str, bytes]:
    return {sample.id: data for sample, data in ShardSet.open(folder).samples()}


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.suffix in (".tar", ".json", ".idx")}


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_draws_what_diffusers_draws(
    pipelines: dict[str, Path], open_engine: Callable[..., Engine], tmp_path: Path, guidance: float
) -> None:
    """From the same noise, prompt and settings, pixel by pixel."""
    rows = plan_of(1, solver="ddim", steps=5, guidance=guidance)
    sampled(open_engine(), rows, tmp_path)
    pipeline = StableDiffusionPipeline.from_pretrained(pipelines["text"], safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    by_id = {s.id: pixels for s, pixels in ShardSet.open(tmp_path).images()}
    for row in rows.rows():
        start = torch.from_numpy(noise.normal(row.seed, row.id, noise.START, (1, 4, 8, 8)))
        theirs = pipeline(row.prompt, num_inference_steps=5, guidance_scale=guidance, latents=start, output_type="np")
        expected = np.round(theirs.images[0] * 255)
        assert np.abs(by_id[row.id].astype(float) - expected).max() <= 2


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_an_images_bytes_do_not_depend_on_its_neighbours(
    bundles: dict[str, Path], request: pytest.FixtureRequest, tmp_path: Path, backend: str
) -> None:
    """Alone, among others at other steps, or in another shard: the same file, on the CPU at fixed rows."""
    bundle = request.getfixturevalue("onnx_bundle") if backend == "onnxruntime" else bundles["text"]
    engine = engines.load(bundle, device="cpu")
    rows = mixed_plan()
    sampled(engine, rows, tmp_path / "all")
    together = images(tmp_path / "all")
    records: list[Any] = rows.frame.to_dict("records")
    for part, name in (([records[3]], "one"), (records[::3], "third"), (records[::-1][:7], "seven")):
        some = plan.from_rows({k: v for k, v in r.items() if v != ""} for r in part)
        sampled(engine, some, tmp_path / name, shard_size=2)
        assert all(together[i] == data for i, data in images(tmp_path / name).items())


def test_workers_and_interruptions_write_the_same_files(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """One process; three workers; and a run that lost a shard: byte-identical folders."""
    rows, engine = mixed_plan(), open_engine()
    sampled(engine, rows, tmp_path / "one")
    for index in range(3):
        sampled(engine, rows, tmp_path / "three", shards=[index])
    assert files(tmp_path / "one") == files(tmp_path / "three")
    for suffix in ("json", "tar", "idx"):
        (tmp_path / "three" / f"s-000001.{suffix}").unlink()
    sampled(engine, rows, tmp_path / "three", shards=[1])
    assert files(tmp_path / "one") == files(tmp_path / "three")


def test_text_encoders_are_freed_while_images_are_drawn(
    open_engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each prompt is read once, and no byte depends on it; a prompt that comes later opens them again."""
    made, engine, read = mixed_plan(), open_engine(), list[torch.Tensor]()
    text = engine.calls.text

    def counted(ids: torch.Tensor) -> Conditioning:
        read.append(ids)
        return text(ids)

    engine.calls = replace(engine.calls, text=counted)
    sampled(engine, made, tmp_path / "freed")
    assert len(read) == len(set(made.frame["prompt"])) + 1  # and the empty negative one
    assert engine.calls.texts
    assert not any(call.is_open for call in engine.calls.texts)
    assert engine.encode_text(["another one"])["text"].isfinite().all()
    assert all(call.is_open for call in engine.calls.texts)
    monkeypatch.setattr(Engine, "read_ahead", lambda *_: False)
    sampled(open_engine(), made, tmp_path / "kept")
    assert images(tmp_path / "freed") == images(tmp_path / "kept")


def test_interval_and_packing_leave_no_row_empty(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """Unguided steps cost one row, and freed rows are given to other images."""
    every = sampled(open_engine(), plan_of(8, steps=6), tmp_path / "every")
    some = sampled(open_engine(), plan_of(8, steps=6, guidance_interval=(0.3, 3.0)), tmp_path / "some")
    assert every.forwards_per_image == 12
    assert 6 < some.forwards_per_image < 12
    assert min(every.filled, some.filled) > 0.9


def test_a_failure_leaves_finished_shards_and_no_part_of_another(
    open_engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the third shard: two are there, nothing else, and the error is the disk's."""
    made = []

    def full_disk(*args: Any, **kwargs: Any) -> bytes:
        made.append(1)
        if len(made) > 12:
            raise OSError(28, "No space left on device")
        return encode_image(*args, **kwargs)

    monkeypatch.setattr("gen.sampling.sampler.encode_image", full_disk)
    with pytest.raises(OSError, match="No space left"):
        sampled(open_engine(), mixed_plan(20), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".tar") == ["s-000000.tar", "s-000001.tar"]
    assert not list(tmp_path.glob(".*"))


def test_ctrl_c_ends_every_stage(
    open_engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shard in progress goes; no thread stays."""
    step, calls = DenoisingLoop.step, []

    def interrupted(self: DenoisingLoop) -> list:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(DenoisingLoop, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sampled(open_engine(), mixed_plan(40), tmp_path, shard_size=40)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_at_any_line_ends_every_stage(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """Also between the start of a stage's thread and the first step: a thread that nobody stops would never end."""
    engine, made = open_engine(), plan_of(1)
    record = run_record.describe(engine, made, "s", 5)
    loop = warm_up(engine)
    lines = {number for *_, number in Sampler.run.__code__.co_lines() if number} - {Sampler.run.__code__.co_firstlineno}
    interrupted = set()

    def run(sampler: Sampler, at: int) -> None:
        def trace(frame: FrameType, event: str, argument: object) -> Any:
            if frame.f_code is not Sampler.run.__code__:
                return None
            if event == "line" and frame.f_lineno == at:
                sys.settrace(None)
                interrupted.add(at)
                raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        with suppress(KeyboardInterrupt):
            sampler.run([0])
        sys.settrace(None)

    for at in sorted(lines):
        sampler = Sampler(engine, made, tmp_path / str(at), record, loop=loop)
        caller = Thread(target=run, args=(sampler, at), daemon=True)
        caller.start()
        caller.join(30)
        ended = not caller.is_alive()
        sampler.buffer.stop(KeyboardInterrupt())
        caller.join()
        assert ended, f"an interruption at line {at} of sampler.py leaves a thread that waits for ever"
    assert len(interrupted) > len(lines) / 2
