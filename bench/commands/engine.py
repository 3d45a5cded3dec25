"""`bench engine`: bundles compared with the device's ceiling and with their peers."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated

import typer

import engines
from bench.commands import options
from bench.commands.show import deliver, note
from bench.measure import models
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord
from bench.peers.pipelines import PEERS, choose
from dermforge.common import console

SWEEP = {"cpu": [1, 2, 4, 8, 16, 32], "cuda": [2, 8, 16, 32, 64, 128]}


def engine(
    bundles: Annotated[list[Path] | None, typer.Argument(help="Bundles [default: one is built from --model]")] = None,
    model: options.Model = models.BUILT_IN,
    backend: Annotated[list[str] | None, typer.Option(help="Of a bundle built here; repeatable.")] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="Of a bundle built here: fp32, fp16 or bf16; repeatable [default: fp32]")
    ] = None,
    device: options.Device = None,
    images: Annotated[int, typer.Option(help="Whole images of one timed run.", min=1)] = 64,
    steps: options.Steps = 20,
    guidance: options.Guidance = 3.0,
    rows: Annotated[list[int] | None, typer.Option(help="Batch rows of the sweep; repeatable; 0 for none.")] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(PEERS)} or none; repeatable [default: diffusers, optimum; on CUDA diffusers-compile too]"
        ),
    ] = None,
    peer_batch: Annotated[list[int] | None, typer.Option(help="Batches of the peers; repeatable.", min=1)] = None,
    repeats: options.Repeats = 5,
    seed: Annotated[int, typer.Option(help="Of the starting noise.")] = 0,
    work: options.Work = models.WORK,
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure engines per component and whole, compared with the device's matmul ceiling and with their peers.

    Peers run in the same process, in turns, on the same weights, noise, solver and steps, in the precision of the
    first engine.

    Example: bench engine bundle --images 64 --steps 20 --out results
    """
    import torch

    from bench.measure.flops import count
    from bench.peers.workload import SOLVER, workload
    from bench.suites import engine as measure
    from bench.suites.engine import Loaded, Setup

    on_gpu = torch.cuda.is_available() and device != "cpu"
    # On a CPU `torch.compile` takes minutes and gains little.
    peers = choose(peer, tuple(PEERS), tuple(PEERS) if on_gpu else ("diffusers", "optimum"), on_gpu)
    folder = models.find(model, work, note)
    loaded = [Loaded(path.name, engines.load(path, device=device)) for path in bundles or []]
    for kind, bits in [] if bundles else product(backend or ["onnxruntime"], precision or ["fp32"]):
        path, took = models.bundle(folder, kind, bits, work, rebuild=True, say=note)
        loaded.append(Loaded(f"{kind}-{bits}", engines.load(path, device=device), took))
    first = loaded[0].engine
    measure.check_same_model(folder, loaded)
    facts = describe(first.device)
    batches = peer_batch or ([16] if first.device.type == "cpu" else [16, 32])
    sweep = [n for n in (rows or SWEEP[first.device.type]) if n > 0]
    contestants = len(loaded) + len(peers) * len(batches)
    total = sum(4 + len(measure.possible_rows(one.engine, sweep)) for one in loaded)
    total += len(peers) * len(batches) + (2 + repeats) * contestants

    found = measure.ceilings(first.device, [one.engine.precision for one in loaded], repeats)
    ceilings = {m.name.removeprefix("matmul/"): m.median for m in found if m.name.startswith("matmul/")}
    found += measure.builds(loaded)
    with console.progress("engines and peers", total, "runs") as bar:
        given = workload(first.spec, images, steps=steps, guidance=guidance, seed=seed)
        flops = count(folder, first.spec)
        setup = Setup(folder, given, flops, ceilings, repeats, lambda name: bar(1, name))
        for one in loaded:
            found += measure.components(one, setup)
            found += measure.rows_sweep(one, sweep, setup)
        whole = measure.whole(loaded, peers, batches, setup)
    found += [*whole, *measure.speedups(whole, first.device.type)]
    settings = {
        "model": model,
        "size": first.spec.size,
        "images": images,
        "steps": steps,
        "guidance": guidance,
        "solver": SOLVER,
        "seed": seed,
        "bundles": {one.name: one.engine.bundle_digest for one in loaded},
        "certified": {one.name: one.engine.certified for one in loaded},
    }
    record = BenchmarkRecord(command="engine", settings=settings, facts=facts, measurements=found)
    title = f"{model}, {first.spec.size} px, {images} images, {steps} steps, guidance {guidance:g}"
    deliver(record, out, as_json, title)
