"""`bench sample`: the sampler against other people's generation loops, from prompts to files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer

import engines
from bench.measure import models
from bench.measure.device import describe
from bench.measure.record import Measurement, Record, deliver, per_second
from bench.measure.timing import in_turn, median
from bench.peers import draw
from bench.peers.pipelines import DTYPES, PEERS, choose
from bench.suites.sampling import Ours, Run, peer
from dermforge.common import console
from dermforge.common.errors import UserError
from engines.pipeline_spec import model_digest

NAMES = (*PEERS, "synderm")


def sample(
    bundle: Annotated[Path | None, typer.Option(help="An engine bundle [default: one is built from --model]")] = None,
    model: Annotated[
        str, typer.Option(help="The bundle's own pipeline folder, for the peers: a path, built-in, sd15, sd21-base")
    ] = models.BUILT_IN,
    backend: Annotated[str, typer.Option(help="Of the bundle built here.")] = "onnxruntime",
    precision: Annotated[str, typer.Option(help="Of the bundle built here.")] = "fp32",
    device: Annotated[str | None, typer.Option(help="cpu or cuda [default: the bundle's own]")] = None,
    images: Annotated[int, typer.Option(help="Images of one timed run.", min=1)] = 288,
    steps: Annotated[int, typer.Option(help="Denoising steps.", min=1)] = 20,
    guidance: Annotated[float, typer.Option(help="Guidance scale; the paper's is 3.")] = 3.0,
    interval: Annotated[bool, typer.Option(help="Also with guidance between noise levels 0.28 and 5.42.")] = True,
    peers: Annotated[
        list[str] | None,
        typer.Option("--peer", help=f"{', '.join(NAMES)} or none; repeatable [default: diffusers, optimum]"),
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(help="Batches of the peers; repeatable [default: 16].", min=1)
    ] = None,
    peer_precision: Annotated[
        str | None, typer.Option(help="fp32, fp16 or bf16 [default: the bundle's]; a plain loop runs in fp32")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Timed runs after the warm-up.", min=1)] = 5,
    work: Annotated[Path, typer.Option(help="Random models and bundles built here are kept in it.")] = Path(
        "runs/bench"
    ),
    out: Annotated[Path | None, typer.Option(help="Folder for sample.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Images a second to disk: shards by the sampler, PNG files by plain loops, in turn on the same noise.

    Example: bench sample --bundle bundle --peer diffusers --peer synderm --out results
    """
    on_gpu = torch.cuda.is_available() and device != "cpu"
    chosen = choose(peers, NAMES, ("diffusers", "optimum"), on_gpu)
    if peer_precision not in (None, *DTYPES):
        raise UserError(f"unknown --peer-precision {peer_precision!r}; expected one of {', '.join(DTYPES)}")
    folder = models.find(model, work)
    engine = engines.load(bundle or models.bundle(folder, backend, precision, work)[0], device=device)
    if model_digest(folder) != engine.model_digest:
        raise UserError(f"{bundle} was built from other weights than {model}; give its own folder with --model")
    theirs = peer_precision or engine.precision
    facts, job = describe(engine.device), draw.job(engine.spec, images, steps=steps, guidance=guidance)
    with tempfile.TemporaryDirectory(prefix="dermforge-bench-") as scratch:
        alone = Ours(engine, job, Path(scratch, "ours"))
        alone()  # while no peer is loaded: the memory is the sampler's own
        runs: dict[str, Run] = {"ours": alone}
        if interval:
            runs["ours-interval"] = Ours(engine, job, Path(scratch, "interval"), interval=(0.28, 5.42))
        for name in chosen:
            for size in batch or [16]:
                runs[f"{name}-b{size}"] = peer(
                    name, folder, job, size, engine.device, theirs, Path(scratch, f"{name}-{size}")
                )
        with console.progress("loops in turn", len(runs) * (1 + repeats), "runs") as bar:
            times = in_turn(runs, engine.device, repeats=repeats, tick=lambda note: bar(1, note))
    record = Record(
        command="sample",
        facts=facts,
        measurements=_measurements(runs, times, images, repeats, alone),
        settings={
            "model": model,
            "bundle": engine.bundle_digest,
            "images": images,
            "steps": steps,
            "guidance": guidance,
            "solver": draw.SOLVER,
            "rows": engine.rows,
            "precision": engine.precision,
            "peers' precision": theirs,
        },
    )
    deliver(
        record, out, as_json, f"{images} images of {engine.spec.size} px, {steps} steps, guidance {guidance:g}, to disk"
    )


def _measurements(
    runs: dict[str, Run], times: dict[str, list[float]], images: int, repeats: int, alone: Ours
) -> list[Measurement]:
    found = [per_second(f"sample/{name}", seconds, images, "images/s") for name, seconds in times.items()]
    found.append(
        Measurement(
            name="ours/peak memory",
            unit="MB",
            better="lower",
            samples=[alone.summaries[0].peak_memory_mb],
            details={"of": "the process with the engine, before any peer was loaded"},
        )
    )
    for name, run in runs.items():
        if isinstance(run, Ours):
            last = run.summaries[-repeats:]
            rows, filled = [s.forwards_per_image for s in last], [s.filled for s in last]
            found += [
                Measurement(name=f"{name}/rows", unit="UNet rows/image", better="lower", samples=rows),
                Measurement(name=f"{name}/filled", unit="of all rows", better="higher", samples=filled),
                Measurement(
                    name=f"{name}/waiting",
                    unit="of the time",
                    better="lower",
                    samples=[s.waiting for s in last],
                    details={k: median([s.waited[k] for s in last]) for k in last[0].waited},
                ),
            ]
    found += [
        Measurement(
            name=f"speedup/{name}",
            unit="times",
            better="higher",
            samples=[theirs / ours for theirs, ours in zip(seconds, times["ours"], strict=True)],
            details={"bar": 2.0} if name.startswith("diffusers-b") else {},
        )
        for name, seconds in times.items()
        if not name.startswith("ours")
    ]
    return found
