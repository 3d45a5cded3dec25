"""`bench gpu`: everything that a first run on a GPU should tell, in nine minutes."""

from __future__ import annotations

import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bench.commands import options
from bench.commands.show import measured, note, number, warn_of_load, where
from bench.measure.record import save
from dermforge.common import console
from dermforge.common.command_line import typed
from dermforge.common.errors import CheckFailed, UserError

if TYPE_CHECKING:
    from bench.suites.gpu.results import Line, Outcome
    from bench.suites.gpu.schedule import Schedule
    from bench.suites.gpu.worker import Fault

#: With less, not even the first block ends.
LEAST_S = 5.0
#: Without one of these nearly every step would be skipped.
NEEDED = ("torch", "numpy", "safetensors", "transformers", "diffusers", "PIL")
FINE = ("done", "skipped")
#: What may also become of a step that the run is whole without.
FINE_FOR_EXTRAS = (*FINE, "stopped", "not run")


def gpu(
    out: Annotated[
        Path, typer.Argument(callback=options.results_folder, help="Folder for gpu.jsonl, gpu.json and logs.txt.")
    ],
    seconds: Annotated[float, typer.Option(help="The whole run ends within it.", min=LEAST_S)] = 540.0,
    shapes: Annotated[str, typer.Option(help="Random weights of these public shapes: sd15 or sd21-base.")] = "sd15",
    families: Annotated[
        str | None, typer.Option(help="Measure these larger denoisers too: sdxl,sd35-medium; two minutes each.")
    ] = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Tiny shapes on the CPU, to check that every step runs.")
    ] = False,
    only_show: Annotated[
        bool,
        typer.Option("--show", help="Only print what the folder holds, and make its gpu.json if a kill left none."),
    ] = False,
    fault: Annotated[list[str] | None, typer.Option(hidden=True, help="STEP=fails, hangs or dies")] = None,
) -> None:
    """Measure all that a GPU should tell at first contact: ceilings, our engine, diffusers, the sampler, CUDA tests.

    Every step has a process and a time limit of its own, and what it finds is on the disk at once: a step that fails,
    hangs or dies loses only itself. No network is used and nothing is read but this program. What compiles is compiled
    side by side first; then one process at a time has the GPU. A folder holds one run: another is refused.

    Example: bench gpu results/my-gpu
    """
    if only_show:
        if not (out / "gpu.json").exists():  # a kill left none
            _save(out)
        _deliver(out)
        return
    from bench.suites.gpu.first_run import FAMILIES, first_run
    from bench.suites.gpu.process import scratch_folder
    from bench.suites.gpu.results import FILE, Job
    from bench.suites.gpu.run_steps import run_steps

    _check(shapes, rehearse)
    larger = [word.strip() for word in families.split(",")] if families else []
    if unknown := [word for word in larger if word not in FAMILIES]:
        raise UserError(f"unknown --families {unknown[0]!r}; expected {' or '.join(FAMILIES)}, with commas between")
    schedule = first_run(larger).rehearsed() if rehearse else first_run(larger)
    faults = _faults(fault or [], [step.name for step in schedule.steps])
    name = "tiny" if rehearse else shapes
    begun = time.time()
    _begin(out, schedule, {"shapes": name, "families": larger, "rehearsal": rehearse, "seconds": seconds})
    kept = f"the results so far are kept in {out / FILE}; {typed('bench', 'gpu', out, '--show')} prints them"
    with (
        console.without_resuming(kept),
        scratch_folder() as scratch,
        console.progress("steps", len(schedule.steps), "steps") as bar,
    ):
        job = Job(out=out.resolve(), scratch=scratch, shapes=name, rehearsal=rehearse, begun=begun)

        def say(step: str, outcome: Outcome) -> None:
            bar(1, step)
            if outcome.status not in FINE:
                note(f"{step}: {_how(outcome)}")

        try:
            run_steps(schedule, job, seconds, say, faults)
        finally:
            _save(out)
    _deliver(out)


def _begin(out: Path, schedule: Schedule, settings: dict[str, Any]) -> None:
    """Make the file of a run that is not there yet, with what is planned; results are never written over."""
    import torch

    from bench.measure.device import describe
    from bench.suites.gpu.results import FILE, Plan, begin
    from bench.suites.gpu.summary import earlier

    advice = "choose another folder, or remove this one"
    if (out / FILE).exists() or (out / "gpu.json").exists():
        raise UserError(f"{earlier(out)}: {advice}")
    facts = describe(torch.device("cpu"))
    if not settings["rehearsal"]:
        facts = facts.model_copy(update={"device": "a GPU that was not looked at", "kind": "unknown", "memory_gb": 0.0})
    steps = [step.name for step in schedule.steps]
    extras = [step.name for step in schedule.steps if step.extra]
    out.mkdir(parents=True, exist_ok=True)
    try:
        begin(out / FILE, Plan(facts=facts, settings=settings, steps=steps, extras=extras))
    except FileExistsError as error:  # of a run that began at the same time
        raise UserError(f"{earlier(out)}: {advice}") from error


def _check(shapes: str, rehearse: bool) -> None:
    from bench.measure.models import UNETS

    known = [name for name in UNETS if "inpaint" not in name]
    if shapes not in known:
        raise UserError(f"unknown --shapes {shapes!r}; expected {' or '.join(known)}")
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        advice = "install them, or carry their wheels: docs/how-to/benchmarks.md lists them"
        raise UserError(f"not installed: {', '.join(missing)}; {advice}")
    if not rehearse:
        import torch

        if not torch.cuda.is_available():
            raise UserError("torch sees no CUDA device here; --rehearse goes through the steps on a CPU")


def _faults(words: list[str], steps: list[str]) -> dict[str, Fault]:
    """What to do to which step on purpose, from `STEP=HOW`."""
    from bench.suites.gpu.worker import FAULTS

    found = {}
    for word in words:
        step, _, how = word.rpartition("=")
        if step not in steps or how not in FAULTS:
            raise UserError(
                f"expected STEP=HOW with one of {', '.join(FAULTS)}, got {word!r}; steps: {'; '.join(steps)}"
            )
        found[step] = FAULTS[how]
    return found


def _save(out: Path) -> None:
    """Write what a folder holds as one result."""
    from bench.suites.gpu.summary import read_run, record

    if (made := record(read_run(out)[0])) is not None:
        save(made, out)


def _deliver(out: Path) -> None:
    """Print what a folder holds, and fail if a planned step was not done."""
    from bench.suites.gpu.summary import missing, outcomes, plan_of, read_run

    lines, damaged = read_run(out)
    plan, ends, lost = plan_of(lines), outcomes(lines), missing(lines)
    _show(lines, damaged)
    extras = plan.extras if plan else []
    held_up = {step for step, outcome in ends.items() if outcome.status == "stopped" and _done(ends, f"{step} again")}
    bad = [
        f"{step} ({_how(outcome)})"
        for step, outcome in ends.items()
        if step not in held_up
        and outcome.status not in (FINE_FOR_EXTRAS if step.removesuffix(" again") in extras else FINE)
    ]
    if plan is None:
        raise CheckFailed(f"what {out} was to measure is not known: the first line of its results is lost")
    bad += [f"{step} (missing: the run ended before)" for step in lost]
    if bad:
        raise CheckFailed(f"{len(bad)} of {len(plan.steps)} steps were not done: {'; '.join(bad)}")


def _done(ends: dict[str, Outcome], step: str) -> bool:
    return step in ends and ends[step].status == "done"


def _show(lines: list[Line], damaged: int) -> None:
    """Print what a run found and how its steps ended."""
    from bench.suites.gpu.summary import facts_of, measurements, missing, outcomes, plan_of

    ends, facts, plan, lost = outcomes(lines), facts_of(lines), plan_of(lines), missing(lines)
    rehearsal = plan is not None and plan.settings["rehearsal"]
    console.out.print(measured(measurements(lines), "a rehearsal on a CPU: not to be quoted" if rehearsal else ""))
    console.out.print(_steps(ends, lines))
    counts = Counter([*(outcome.status for outcome in ends.values()), *("missing" for _ in lost)])
    console.say(f"steps: {', '.join(f'{n} {status}' for status, n in counts.most_common())}")
    console.say(where(facts) if facts else "the machine is not known: that step was not done")
    if facts:
        warn_of_load(facts)
    if damaged:
        console.warn(f"{damaged} lines of the results cannot be read: a process ended while it wrote them")


def _steps(ends: dict[str, Outcome], lines: list[Line]) -> Table:
    """How each step ended, and how much it found."""
    table = Table(title="steps", title_justify="left")
    for name in ("step", "how it ended", "seconds", "found"):
        table.add_column(name)
    found = Counter(line.step for line in lines if line.measurement or line.note or line.facts)
    for step, outcome in ends.items():
        table.add_row(step, _how(outcome), number(outcome.seconds), str(found[step]))
    return table


def _how(outcome: Outcome) -> str:
    return f"{outcome.status}: {outcome.why}" if outcome.why else outcome.status
