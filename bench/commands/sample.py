"""`bench sample`: the sampler compared with other people's generation loops, from prompts to files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import few_steps as few
from bench.commands import options
from bench.commands.show import deliver, note
from bench.measure import models
from bench.measure.bundles import Wanted, backend_of, check_modes, usual_backend
from bench.measure.device import describe
from bench.measure.record import BenchmarkRecord, Measurement, higher, lower, per_second, ratios
from bench.measure.timing import in_turn, median
from bench.peers.pipelines import PEERS, PeerModel, choose
from dermforge.common import console
from dermforge.common.errors import UserError
from dermforge.common.unused_options import used_only
from engines.pipeline_spec import model_digest, read_spec

if TYPE_CHECKING:
    from bench.suites.sampling import Ours, Run

NAMES = (*PEERS, "synderm")
WITH_PEERS = ("bundle", "steps", "interval", "peers", "batch", "peer_precision")


@used_only("without --few-steps", lambda given: not given["few_steps"], *WITH_PEERS)
@used_only("with --few-steps", lambda given: given["few_steps"], "decoder")
def sample(
    bundle: Annotated[Path | None, typer.Option(help="An engine bundle [default: one is built from --model]")] = None,
    model: Annotated[
        str, typer.Option(help=f"The bundle's own pipeline folder, for the peers: a path, {models.WORDS_FOR_MODELS}.")
    ] = models.BUILT_IN,
    backend: options.Backend = None,
    precision: options.Precision = "fp32",
    bundle_rows: options.BundleRows = None,
    compile_mode: options.Compile = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda [default: the bundle's own]")] = None,
    images: Annotated[int, typer.Option(help="Images of one timed run.", min=1)] = 288,
    steps: options.Steps = 20,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance scale [default: 3, the paper's; with --few-steps 1]")
    ] = None,
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
    few_steps: Annotated[
        bool, typer.Option("--few-steps", help="1, 2, 4 and 8 steps, with the VAE's decoder and a small one; no peers")
    ] = False,
    decoder: Annotated[
        Path | None, typer.Option(help="With --few-steps: the small one [default: random weights of TAESD's shapes]")
    ] = None,
    repeats: options.Repeats = 5,
    work: options.Work = models.WORK,
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Images per second to disk: shards by the sampler, PNG files by plain loops, in turns on the same noise.

    Example: bench sample --bundle bundle --peer diffusers --peer synderm --out results
    """
    from bench.peers.workload import SOLVER, workload
    from bench.suites.sampling import Ours, peer
    from engines.backends.compiled_call import parse_mode
    from engines.compile.precision import DTYPES
    from engines.manifest import USUAL_MODE

    kind = backend_of(bundle) if bundle else backend or usual_backend()
    wanted = Wanted(kind, precision, bundle_rows, parse_mode(compile_mode), device)
    check_modes([wanted])
    if few_steps:
        guided = few.GUIDANCE if guidance is None else guidance
        record = few.measure(wanted, model, decoder, images, guided, repeats, work)
        deliver(record, out, as_json, f"{images} images of {record.settings['size']} px, guidance {guided:g}, to disk")
        return
    guidance = 3.0 if guidance is None else guidance
    if peer_precision not in (None, *DTYPES):
        raise UserError(f"unknown --peer-precision {peer_precision!r}; expected one of {', '.join(DTYPES)}")
    folder = models.find(model, work, note)
    chosen = choose(peers, NAMES, ("diffusers", "optimum"), wanted.on_gpu, read_spec(folder))
    engine = wanted.open(bundle or wanted.build(folder, work, say=note)[0])
    if model_digest(folder) != engine.model_digest:
        raise UserError(f"{bundle} was built from other weights than {model}; give its own folder with --model")
    theirs = peer_precision or engine.precision
    given = workload(engine.spec, images, steps=steps, guidance=guidance)
    facts, peer_model = describe(engine.device), PeerModel(folder, engine.device, theirs, wanted.mode or USUAL_MODE)
    with tempfile.TemporaryDirectory(prefix="dermforge-bench-") as scratch:
        alone = Ours(engine, given, Path(scratch, "ours"))
        alone()  # before any peer is loaded, so that the peak memory is the sampler's own
        runs: dict[str, Run] = {"ours": alone}
        if interval:
            runs["ours-interval"] = Ours(engine, given, Path(scratch, "interval"), interval=(0.28, 5.42))
        for name in chosen:
            for size in batch or [16]:
                runs[f"{name}-b{size}"] = peer(name, peer_model, given, size, Path(scratch, f"{name}-{size}"))
        with console.progress("loops in turn", len(runs) * (1 + repeats), "runs") as bar:
            times = in_turn(runs, engine.device, repeats=repeats, tick=lambda note: bar(1, note))
    record = BenchmarkRecord(
        command="sample",
        facts=facts,
        measurements=_measurements(runs, times, images, repeats, alone),
        settings={
            "model": model,
            "bundle": engine.bundle_digest,
            "images": images,
            "steps": steps,
            "guidance": guidance,
            "solver": SOLVER,
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
    from bench.suites.sampling import Ours

    found = [per_second(f"sample/{name}", seconds, images, "images/s") for name, seconds in times.items()]
    of = {"of": "the process with the engine, before any peer was loaded"}
    found.append(lower("ours/peak memory", "MB", [alone.summaries[0].peak_memory_mb], of))
    for name, run in runs.items():
        if isinstance(run, Ours):
            last = run.summaries[-repeats:]
            waited = {k: median([s.waited[k] for s in last]) for k in last[0].waited}
            found += [
                lower(f"{name}/rows", "denoiser rows/image", [s.forwards_per_image for s in last]),
                higher(f"{name}/filled", "of all rows", [s.filled for s in last]),
                lower(f"{name}/waiting", "of the time", [s.waiting for s in last], waited),
            ]
    found += [
        higher(f"speedup/{name}", "times", ratios(took, times["ours"]), {"bar": 2.0} if "diffusers-b" in name else {})
        for name, took in times.items()
        if not name.startswith("ours")
    ]
    return found
