"""`gen sample`: a plan through an engine into verified shards."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dermforge.common import console
from dermforge.common.command_line import typed
from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.progress import no_tick
from dermforge.common.unused_options import used_only
from gen.commands import DEFAULT_BUNDLE, listed

if TYPE_CHECKING:
    from engines.engine import Engine
    from engines.pipeline_spec import PipelineSpec
    from gen.diffusion.denoising_loop import DenoisingLoop
    from gen.plan.plan import Plan
    from gen.sampling.run_record import RunRecord
    from gen.sampling.workers import Outcome, SamplingJob
    from shards.format.provenance import Certificates


@used_only("with --format jpg or webp", lambda given: given["image_format"] in ("jpg", "webp"), "quality")
@used_only("with --ray", lambda given: given["ray"], "workers")
@used_only("with --parents", lambda given: given["parents"], "masks")
def sample(
    shards: Annotated[str, typer.Option(help="Folder or s3:// address of the run; an unfinished run resumes.")],
    engine: Annotated[Path, typer.Option(help="Engine bundle.")] = DEFAULT_BUNDLE,
    plan: Annotated[Path | None, typer.Option(help="Plan [default: all classes and skin types alike].")] = None,
    per_cell: Annotated[int | None, typer.Option(help="Images per class and skin type [default: 32].")] = None,
    classes: Annotated[str | None, typer.Option(help="Comma-separated [default: the bundle's].")] = None,
    groups: Annotated[str | None, typer.Option(help="Skin types [default: the bundle's].")] = None,
    preset: Annotated[str | None, typer.Option(help="Settings of sagers2023 or fast.")] = None,
    solver: Annotated[
        str | None, typer.Option(help="ddim, euler, euler-ancestral, heun, dpmsolver++, unipc, lcm or tcd.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Solver steps [default: 20, or the distilled model's].")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale [default: 3].")] = None,
    guidance_interval: Annotated[str | None, typer.Option(help="Noise levels LOW:HIGH that are guided.")] = None,
    base_steps: Annotated[
        int | None, typer.Option(help="First steps that the base takes [default: 1 where the bundle has one, else 0].")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all noise [default: 0].")] = None,
    parents: Annotated[str | None, typer.Option(help="Real images that plan rows start from.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of lesion masks with the names of the images.")] = None,
    shard_size: Annotated[int | None, typer.Option(help="Images per shard [default: 1000].")] = None,
    image_format: Annotated[str | None, typer.Option("--format", help="png, jpg or webp [default: png].")] = None,
    quality: Annotated[int | None, typer.Option(help="Of jpg and webp, 1 to 100 [default: 95].")] = None,
    name: Annotated[str | None, typer.Option(help="Shards are called NAME-000000.tar.")] = None,
    backend: Annotated[
        str | None, typer.Option(help="What runs it: onnxruntime, torch or tensorrt [default: the bundle's].")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    rows: Annotated[int | None, typer.Option(help="Batch rows of one denoiser call [default: the bundle's].")] = None,
    compile_mode: Annotated[
        str | None,
        typer.Option(
            "--compile", help="torch on CUDA: default (starts soonest) or autotune [default: the run's or bundle's]."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="CPU threads [default: the run's, or all cores]; another number may change the last bits.", min=1
        ),
    ] = None,
    worker: Annotated[str, typer.Option(help="I/N: make every N-th shard, from the I-th.")] = "0/1",
    ray: Annotated[str | None, typer.Option(help="local, or the address of a Ray cluster.")] = None,
    workers: Annotated[int, typer.Option(help="Ray actors, each with an engine.")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove the run's shards and start again.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="A live line for each stage.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Sample a plan into verified shards; run it again to resume.

    Example: gen sample --shards out --per-cell 100 --guidance-interval 0.28:5.42
    """
    from engines.backends.compiled_call import parse_mode
    from gen.commands import sample_progress
    from gen.sampling import run_record
    from gen.sampling.workers import SamplingJob, mode_of
    from shards.tools.contact_sheet import SHEET

    mine = run_record.parse_worker(worker)
    if not (engine / "bundle.json").is_file():
        raise UserError(f"no engine bundle at {engine}; make one with {typed('gen', 'build-engine', '--out', engine)}")
    there = None if fresh else run_record.read(shards)
    threads = threads or (there.threads if there else None)
    mode = parse_mode(compile_mode) or mode_of(there, device)
    job = SamplingJob(shards, engine, backend, device, rows, threads, parents, masks, mode)
    begun = perf_counter()
    loaded = job.load()
    opened = perf_counter() - begun
    asked = {
        "preset": preset,
        "per_cell": per_cell,
        "classes": classes,
        "groups": groups,
        "solver": solver,
        "steps": steps,
        "guidance": guidance,
        "guidance_interval": guidance_interval,
        "base_steps": base_steps,
        "seed": seed,
    }
    table = plan_for(shards, loaded.spec, plan, asked, fresh, with_base=loaded.base is not None)
    record = run_record.describe(
        loaded,
        table,
        name or (there.name if there else None),
        (there.shard_size if there else 1000) if shard_size is None else shard_size,
        image_format or (there.image_format if there else "png"),
        quality or (there.quality if there else 95),
        there,
    )
    job = replace(job, threads=record.threads)  # the same on machines with other cores
    remaining = run_record.remaining(shards, table)
    warn(table, remaining, loaded, job)
    if record.marks is None:
        console.warn(
            "this run began before images were marked as synthetic, and goes on without marks so that its shards fit "
            "together; --fresh starts again with marks"
        )
    if not record.certified:
        console.warn("this bundle failed its parity certificate", style="red")
    if record.certificates:
        say_use(record.certificates)
    if fresh:
        # some are opened late, and shards that could not be drawn again are not removed
        loaded.bundle.verify(loaded.bundle.find("weights", loaded.backend))
    run_record.open_run(shards, record, table, fresh)
    left = run_record.todo(shards, record, mine)
    total = len(range(mine[0], record.shards, mine[1]))
    if left and len(left) < total:
        console.err.print(f"resuming: {total - len(left)} of {total} shards are there", soft_wrap=True)
    report: dict[str, Any] = {"folder": shards, "plan_digest": record.plan_digest}
    outcome = None
    if left and ray is not None:
        outcome = on_ray(job, record, left, workers, ray)
        report |= vars(outcome)
    elif left:
        loop, took = warmed_up(loaded)
        report["ready_seconds"] = opened + took
        images = sum(map(record.images_in, left))
        with (sample_progress.lines if verbose else sample_progress.bar)(images) as on_image:
            report |= vars(job.sample(left, loaded, on_image, loop))
    missing = run_record.finish(shards, record)
    if missing:
        report |= {"complete": False, "missing_shards": missing}
    else:
        report |= {"complete": True, "images": len(remaining), "sheet": f"{shards}/{SHEET}"}
    if json:
        console.print_json(report)
    else:
        tell(shards, report, record, bool(left))
    if outcome is not None and outcome.quarantined:
        raise CheckFailed(
            f"{len(outcome.quarantined)} shards failed three times: {outcome.quarantined}; "
            f"the last reason: {outcome.retried[outcome.quarantined[-1]][-1]}"
        )


def plan_for(
    folder: str, spec: PipelineSpec, path: Path | None, asked: dict[str, Any], fresh: bool, with_base: bool = False
) -> Plan:
    """The plan given, the one in the folder, or a new one over all classes and skin types."""
    from gen.plan import grid
    from gen.plan.plan import load, parse_interval
    from gen.plan.request import CellRequest, new_plan
    from gen.sampling import run_record

    given = [key for key, value in asked.items() if value is not None]
    if path is not None:
        if given:
            flag = f"--{given[0].replace('_', '-')}"
            raise UserError(f"the plan already says that; leave out {flag}, or make another plan")
        return load(path)
    if not given and not fresh and (there := run_record.read_plan(folder)) is not None:
        return there
    interval = asked["guidance_interval"]
    changes = {name: asked[name] for name in ("solver", "steps", "guidance", "base_steps", "seed")} | {
        "guidance_interval": parse_interval(interval) if interval else None,
        "strategies": ("text-to-image",),
        "size": spec.size,
    }
    wanted = CellRequest(listed(asked["classes"]), listed(asked["groups"]), asked["per_cell"])
    return new_plan(grid.settings_from(asked["preset"], changes, grid.few_steps(spec, with_base)), wanted, spec)


def warn(plan: Plan, remaining: Plan, engine: Engine, job: SamplingJob) -> None:
    """Check a plan before anything is sampled, and print what is doubtful in what remains to be drawn of it."""
    from gen.plan.validate_plan import check, refuse_unused

    parents = job.open_parents()
    if parents is not None:
        refuse_unused(plan, parents)
    named = len(set(remaining.frame["parent"]) - {""})
    with console.progress("check parents", named) if named else nullcontext(no_tick) as tick:
        warnings = check(remaining, engine, parents, tick)
    for warning in warnings:
        console.warn(warning)


def say_use(certificates: Certificates) -> None:
    """What the certificate of use says of these images, where the bundle has one."""
    if certificates.use_missing:
        console.warn(f"the bundle's certificate of use is not of these images: {certificates.use_missing}")
    elif certificates.use and certificates.use.verdict != "pass":
        style = "red" if certificates.use.verdict == "fail" else "yellow"
        console.warn(f"the bundle's certificate of use: {certificates.use.verdict}", style=style)


def warmed_up(engine: Engine) -> tuple[DenoisingLoop, float]:
    """The engine's loop, ready to run, and the seconds that this took; on a GPU it says so."""
    from gen.sampling.warm_up import warm_up

    begun = perf_counter()
    if engine.compile_mode == "autotune":
        console.err.print("compiling for this GPU; --compile default starts sooner and draws slower", soft_wrap=True)
    loop = warm_up(engine)
    took = perf_counter() - begun
    if engine.device.type != "cpu":
        how = f" ({engine.compile_mode})" if engine.compile_mode else ""
        console.err.print(f"compiled and recorded in {took:.1f} s{how}", soft_wrap=True)
    return loop, took


def on_ray(job: SamplingJob, record: RunRecord, left: list[int], workers: int, address: str) -> Outcome:
    """Sample with Ray actors, with a bar."""
    from gen.sampling.workers import sample_on_ray

    if workers < 1:
        raise UserError(f"{workers} workers; expected 1 or more")
    gpus = 1.0 if job.device and job.device.startswith("cuda") else 0.0
    with console.progress("sampling", sum(map(record.images_in, left))) as tick:
        return sample_on_ray(job, left, workers, address, gpus, lambda shard, n: tick(n, f"shard {shard}"))


def tell(location: str, report: dict[str, Any], record: RunRecord, sampled: bool) -> None:
    """The summary for people."""
    if "images_per_second" in report:
        waited = max(report["waited"], key=report["waited"].get)
        console.out.print(
            f"{console.rate_text(report['images_per_second'], 1)}, "
            f"{report['forwards_per_image']:.1f} denoiser rows per image, "
            f"{report['filled']:.0%} of all batch rows used; the engine waited {report['waiting']:.1%} of the time, "
            f"mostly for {waited}; {report['peak_memory_mb']:.0f} MB",
            soft_wrap=True,
        )
    for shard, reasons in report.get("retried", {}).items():
        console.say(f"shard {shard} was tried again: {'; '.join(reasons)}")
    if not report["complete"]:
        console.out.print(
            f"{len(report['missing_shards'])} of {record.shards} shards are still to be made by others", soft_wrap=True
        )
        return
    state = "" if sampled else "nothing to do: "
    console.out.print(
        f"{state}{report['images']} images in {record.shards} shards in {location}; contact sheet {report['sheet']}; "
        f"{typed('shards', 'verify', location, '--deep')} reads every byte again",
        soft_wrap=True,
    )
