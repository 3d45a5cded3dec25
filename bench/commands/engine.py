"""`bench engine`: bundles compared with the device's ceiling and with their peers."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options
from bench.commands.show import deliver, note
from bench.measure import models
from bench.measure.bundles import Wanted, backend_of, check_modes, usual_backend
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord
from bench.peers.pipelines import PEERS, choose
from dermforge.common import console

SWEEP = {"cpu": [1, 2, 4, 8, 16, 32], "cuda": [2, 8, 16, 32, 64, 128]}


def engine(
    bundles: Annotated[list[Path] | None, typer.Argument(help="Bundles [default: one is built from --model]")] = None,
    model: options.Model = models.BUILT_IN,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Of a bundle built here; repeatable [default: torch on CUDA, else onnxruntime]"),
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="Of a bundle built here: fp32, fp16 or bf16; repeatable [default: fp32]")
    ] = None,
    bundle_rows: options.BundleRows = None,
    compile_mode: options.Compile = None,
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
    from bench.measure.flops import count
    from bench.peers.workload import SOLVER, workload
    from bench.suites import engine as measure
    from bench.suites.engine import Loaded, Setup
    from engines.backends.compiled_call import parse_mode
    from engines.manifest import USUAL_MODE
    from engines.pipeline_spec import read_spec

    mode = parse_mode(compile_mode)
    kinds = product(backend or [usual_backend()], precision or ["fp32"])
    wanted = [Wanted(backend_of(path), compile_mode=mode, device=device) for path in bundles or []]
    wanted = wanted or [Wanted(kind, bits, bundle_rows, mode, device) for kind, bits in kinds]
    check_modes(wanted)
    on_gpu = wanted[0].on_gpu
    folder = models.find(model, work, note)
    # On a CPU `torch.compile` takes minutes and gains little.
    usual = tuple(PEERS) if on_gpu else ("diffusers", "optimum")
    peers = choose(peer, tuple(PEERS), usual, on_gpu, read_spec(folder))
    pairs = zip(bundles or [], wanted, strict=False)
    loaded = [Loaded(path.name, how.open(path), device=device) for path, how in pairs]
    for how in [] if bundles else wanted:
        path, took = how.build(folder, work, rebuild=True, say=note)
        loaded.append(Loaded(f"{how.backend}-{how.precision}", how.open(path), took, device))
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
        setup = Setup(folder, given, flops, ceilings, repeats, lambda name: bar(1, name), mode or USUAL_MODE)
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
        "compiled": mode or USUAL_MODE,
        "bundles": {one.name: one.engine.bundle_digest for one in loaded},
        "certified": {one.name: one.engine.certified for one in loaded},
    }
    record = BenchmarkRecord(command="engine", settings=settings, facts=facts, measurements=found)
    title = f"{model}, {first.spec.size} px, {images} images, {steps} steps, guidance {guidance:g}"
    deliver(record, out, as_json, title)
