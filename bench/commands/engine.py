"""`bench engine`: bundles against the device's ceiling and against their peers."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated

import torch
import typer

import engines
from bench.measure import models
from bench.measure.device import describe
from bench.measure.record import Measurement, Record, deliver
from bench.peers import draw
from bench.peers.pipelines import PEERS, choose
from bench.suites import engine as measure
from bench.suites.engine import Loaded
from dermforge.common import console

SWEEP = {"cpu": [1, 2, 4, 8, 16, 32], "cuda": [2, 8, 16, 32, 64, 128]}


def engine(
    bundles: Annotated[list[Path] | None, typer.Argument(help="Bundles [default: one is built from --model]")] = None,
    model: Annotated[
        str,
        typer.Option(
            help="The bundles' pipeline folder, or public shapes with random weights: sd15, sd15-inpaint, sd21-base"
        ),
    ] = models.BUILT_IN,
    backend: Annotated[list[str] | None, typer.Option(help="Of a bundle built here; repeatable.")] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="Of a bundle built here: fp32, fp16 or bf16; repeatable [default: fp32]")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or tensorrt [default: the backend's own]")] = None,
    images: Annotated[int, typer.Option(help="Whole images of one timed run.", min=1)] = 64,
    steps: Annotated[int, typer.Option(help="Denoising steps.", min=1)] = 20,
    guidance: Annotated[float, typer.Option(help="Guidance scale; the paper's is 3.")] = 3.0,
    rows: Annotated[list[int] | None, typer.Option(help="Row counts of the sweep; repeatable; 0 for none.")] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(PEERS)} or none; repeatable [default: diffusers, optimum; on CUDA diffusers-compile too]"
        ),
    ] = None,
    peer_batch: Annotated[list[int] | None, typer.Option(help="Batches of the peers; repeatable.", min=1)] = None,
    repeats: Annotated[int, typer.Option(help="Timed runs after the warm-up.", min=1)] = 5,
    seed: Annotated[int, typer.Option(help="Of the starting noise.")] = 0,
    work: Annotated[Path, typer.Option(help="Random models and bundles built here are kept in it.")] = Path(
        "runs/bench"
    ),
    out: Annotated[Path | None, typer.Option(help="Folder for engine.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Measure engines per component and whole, with their share of the device's matmul ceiling, beside their peers.

    Peers run in the same process, one after the other in rounds, on the same weights, noise, solver and steps, in
    the precision of the first engine.

    Example: bench engine bundle --images 64 --steps 20 --out results
    """
    on_gpu = torch.cuda.is_available() and device != "cpu"
    # On a CPU `torch.compile` takes minutes and gains little.
    chosen_peers = choose(peer, tuple(PEERS), tuple(PEERS) if on_gpu else ("diffusers", "optimum"), on_gpu)
    folder = models.find(model, work)
    loaded = _open(bundles or [], folder, backend or ["onnxruntime"], precision or ["fp32"], device, work)
    first = loaded[0].engine
    measure.check_same_model(folder, loaded)
    facts = describe(first.device)
    batches = peer_batch or ([16] if first.device.type == "cpu" else [16, 32])
    sweep = [n for n in (rows or SWEEP[first.device.type]) if n > 0]
    job = draw.job(first.spec, images, steps=steps, guidance=guidance, seed=seed)
    total = sum(4 + len(measure.possible_rows(one.engine, sweep)) for one in loaded) + len(chosen_peers) * len(batches)
    total += (2 + repeats) * (len(loaded) + len(chosen_peers) * len(batches))

    found: list[Measurement] = measure.ceilings(first.device, [one.engine.precision for one in loaded], repeats)
    ceiling = {m.name.removeprefix("matmul/"): m.median for m in found if m.name.startswith("matmul/")}
    found += measure.builds(loaded)
    flops = measure.measured_flops(folder, first)
    with console.progress("engines and peers", total, "runs") as bar:

        def tick(note: str) -> None:
            bar(1, note)

        for one in loaded:
            mine = ceiling[one.engine.precision]
            found += measure.components(one, flops, mine, repeats=repeats, tick=tick)
            found += measure.rows_sweep(one, sweep, job, flops, mine, repeats=repeats, tick=tick)
        whole = measure.whole(
            loaded, folder, job, flops, ceiling, peers=chosen_peers, batches=batches, repeats=repeats, tick=tick
        )
    found += [*whole, *measure.speedups(whole, first.device.type)]
    settings = {
        "model": model,
        "size": first.spec.size,
        "images": images,
        "steps": steps,
        "guidance": guidance,
        "solver": draw.SOLVER,
        "seed": seed,
        "bundles": {one.name: one.engine.bundle_digest for one in loaded},
        "certified": {one.name: one.engine.certified for one in loaded},
    }
    record = Record(command="engine", settings=settings, facts=facts, measurements=found)
    deliver(
        record, out, as_json, f"{model}, {first.spec.size} px, {images} images, {steps} steps, guidance {guidance:g}"
    )


def _open(
    bundles: list[Path], model: Path, backends: list[str], precisions: list[str], device: str | None, work: Path
) -> list[Loaded]:
    """The bundles given, or one built for each backend and precision; a random model may fail its certificate."""
    loaded = [Loaded(path.name, engines.load(path, device=device)) for path in bundles]
    for backend, precision in [] if bundles else product(backends, precisions):
        path, took = models.bundle(model, backend, precision, work, anew=True)
        loaded.append(Loaded(f"{backend}-{precision}", engines.load(path, device=device), took))
    return loaded
