"""`bench sample`: the sampler against other people's generation loops, from prompts to files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer

import engines
from bench import draw, models
from bench.device import describe
from bench.peers import PEERS, unavailable
from bench.record import Measurement, Record, per_second, save, show
from bench.sampling import Ours, Run, peer
from bench.timing import in_turn, median
from engines.facts import model_digest
from shards import console
from shards.errors import UserError

NAMES = (*PEERS, "synderm")


def sample(
    bundle: Annotated[Path, typer.Option(help="The engine bundle.")] = Path("bundle"),
    model: Annotated[str, typer.Option(help="The bundle's own pipeline folder, for the peers.")] = models.BUILT_IN,
    device: Annotated[str | None, typer.Option(help="cpu or cuda [default: the bundle's own]")] = None,
    images: Annotated[int, typer.Option(help="Images of one timed run.", min=1)] = 288,
    steps: Annotated[int, typer.Option(help="Denoising steps.", min=1)] = 20,
    guidance: Annotated[float, typer.Option(help="Guidance scale; the paper's is 3.")] = 3.0,
    interval: Annotated[bool, typer.Option(help="Also with guidance between noise levels 0.28 and 5.42.")] = True,
    peers: Annotated[list[str] | None, typer.Option(
        "--peer", help=f"{', '.join(NAMES)} or none; repeatable [default: diffusers, optimum]",
    )] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Batches of the peers; repeatable [default: 16].")] = None,
    repeats: Annotated[int, typer.Option(help="Timed runs after the warm-up.", min=1)] = 3,
    work: Annotated[Path, typer.Option(help="Random models are kept in it.")] = Path("runs/bench"),
    out: Annotated[Path | None, typer.Option(help="Folder for sample.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Images a second to disk: shards by the sampler, PNG files by plain loops, in turn on the same noise.

    Example: bench sample --bundle bundle --peer diffusers --peer synderm --out results
    """
    on_gpu = torch.cuda.is_available() and device != "cpu"
    chosen = peers or [name for name in ("diffusers", "optimum") if unavailable(name, on_gpu) is None]
    if unknown := [name for name in chosen if name not in NAMES and name != "none"]:
        raise UserError(f"unknown peer {unknown[0]!r}; expected {', '.join(NAMES)} or none")
    for name in chosen:
        if reason := unavailable(name, on_gpu):
            raise UserError(f"the peer {name} cannot run here: {reason}, or leave it out of --peer")
    engine = engines.load(bundle, device=device)
    folder = models.find(model, work)
    if model_digest(folder) != engine.model_digest:
        raise UserError(f"{bundle} was built from other weights than {model}; give its own folder with --model")
    facts, job = describe(engine.device), draw.job(engine.facts, images, steps=steps, guidance=guidance)
    with tempfile.TemporaryDirectory(prefix="dermforge-bench-") as scratch:
        alone = Ours(engine, job, Path(scratch, "ours"))
        alone()  # while no peer is loaded: the memory is the sampler's own
        runs: dict[str, Run] = {"ours": alone}
        if interval:
            runs["ours-interval"] = Ours(engine, job, Path(scratch, "interval"), interval=(0.28, 5.42))
        for name in chosen if chosen != ["none"] else []:
            for size in batch or [16]:
                runs[f"{name}-b{size}"] = peer(
                    name, folder, job, size, engine.device, engine.precision, Path(scratch, f"{name}-{size}"))
        with console.progress("loops in turn", len(runs) * (1 + repeats), "runs") as bar:
            times = in_turn(runs, engine.device, repeats=repeats, tick=lambda note: bar(1, note))
    record = Record(
        command="sample", facts=facts, measurements=_measurements(runs, times, images, repeats, alone),
        settings={"model": model, "bundle": engine.bundle_digest, "images": images, "steps": steps,
                  "guidance": guidance, "solver": draw.SOLVER, "rows": engine.rows},
    )
    if out:
        save(record, out)
    if as_json:
        console.print_json(record.model_dump(mode="json"))
    else:
        show(record, f"{images} images of {engine.facts.size} px, {steps} steps, guidance {guidance:g}, to disk")


def _measurements(
    runs: dict[str, Run], times: dict[str, list[float]], images: int, repeats: int, alone: Ours
) -> list[Measurement]:
    found = [per_second(f"sample/{name}", seconds, images, "images/s") for name, seconds in times.items()]
    found.append(Measurement(name="ours/peak memory", unit="MB", better="lower",
                             samples=[alone.summaries[0].peak_memory_mb],
                             details={"of": "the process with the engine, before any peer was loaded"}))
    for name, run in runs.items():
        if isinstance(run, Ours):
            last = run.summaries[-repeats:]
            rows, filled = [s.forwards_per_image for s in last], [s.filled for s in last]
            found += [
                Measurement(name=f"{name}/rows", unit="UNet rows/image", better="lower", samples=rows),
                Measurement(name=f"{name}/filled", unit="of all rows", better="higher", samples=filled),
                Measurement(name=f"{name}/waiting", unit="of the time", better="lower",
                            samples=[s.waiting for s in last],
                            details={k: median([s.waited[k] for s in last]) for k in last[0].waited}),
            ]
    ours = median(times["ours"])
    found += [
        Measurement(name=f"speedup/{name}", unit="times", better="higher", samples=[median(seconds) / ours],
                    details={"bar": 2.0} if name.startswith("diffusers-b") else {})
        for name, seconds in times.items() if not name.startswith("ours")
    ]
    return found
