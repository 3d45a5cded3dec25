"""What a run on a GPU found: its measurements, and what follows from several of them: shares, speed-ups, bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.measure.bars import PEER_BARS, SHARE_BAR
from bench.measure.device import Facts
from bench.measure.record import BenchmarkRecord, Detail, Measurement, higher, load
from bench.suites.gpu.results import FILE, Line, Outcome, Plan, read
from dermforge.common.command_line import typed
from dermforge.common.errors import UserError

COMPILED_BAR = PEER_BARS["cuda"]["diffusers-compile"]
PLAIN, COMPILED = "diffusers", "diffusers compiled"


def read_run(folder: Path) -> tuple[list[Line], int]:
    """The lines that a run left in its folder, and how many could not be read.

    Raises
    ------
    UserError
        There is no run.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"no {FILE} in {folder}; {typed('bench', 'gpu', folder)} writes it")
    return read(path)


def measurements(lines: Sequence[Line]) -> list[Measurement]:
    """Everything that was measured, and what follows from it."""
    found = [line.measurement for line in lines if line.measurement]
    return [*found, *shares(found), *speedups(found)]


def shares(found: Sequence[Measurement]) -> list[Measurement]:
    """The part of the matmul ceiling of the same precision that each engine's step reached."""
    ceilings = {m.name.removeprefix("matmul/"): m.median for m in found if m.name.startswith("matmul/")}
    named = [m for m in found if m.name.startswith("arithmetic/")]
    return [
        higher(
            m.name.replace("arithmetic/", "share/", 1),
            "of the ceiling",
            [rate / ceiling for rate in m.samples],
            {"ceiling TFLOP/s": ceiling, "bar": SHARE_BAR},
        )
        for m in named
        if (ceiling := ceilings.get(str(m.details.get("precision"))))
    ]


def speedups(found: Sequence[Measurement]) -> list[Measurement]:
    """Each engine's images per second as a multiple of plain and of compiled diffusers', at its best batch.

    Only the compiled one has a bar: a multiple of the plain one's rate can lie above what the hardware multiplies.
    """
    runs = [(m.name.split("/"), m) for m in found if m.name.startswith("images/")]
    result = []
    for (_, name, steps), mine in runs:
        if name.startswith(PLAIN):
            continue
        for peer in (PLAIN, COMPILED):
            same = [m for (_, other, at), m in runs if at == steps and other.split(",")[0] == peer]
            if not same:
                continue
            best = max(same, key=lambda m: m.median)
            details: dict[str, Detail] = {"steps": mine.details["steps"], "its batch": best.details["batch"]}
            if peer == COMPILED:
                details["bar"] = COMPILED_BAR
            result.append(higher(f"speedup/{name} over {peer}", "x", [mine.median / best.median], details))
    return result


def outcomes(lines: Sequence[Line]) -> dict[str, Outcome]:
    """How each step ended, in the order in which they did."""
    return {line.step: line.outcome for line in lines if line.outcome}


def plan_of(lines: Sequence[Line]) -> Plan | None:
    """What the run was to do; None if that line was lost."""
    return next((line.plan for line in lines if line.plan), None)


def facts_of(lines: Sequence[Line]) -> Facts | None:
    """The machine and its GPU; without the GPU if the step that looks at it was lost."""
    plan = plan_of(lines)
    return next((line.facts for line in lines if line.facts), plan.facts if plan else None)


def missing(lines: Sequence[Line]) -> list[str]:
    """The planned steps whose end was never written: the run was stopped before."""
    plan, ends = plan_of(lines), outcomes(lines)
    return [name for name in plan.steps if name not in ends] if plan else []


def record(lines: Sequence[Line]) -> BenchmarkRecord | None:
    """The run as one result, as other benchmarks leave; None if nothing is known of its machine."""
    facts, plan = facts_of(lines), plan_of(lines)
    if facts is None:
        return None
    ends = {name: str(outcome.status) for name, outcome in outcomes(lines).items()}
    settings = {**(plan.settings if plan else {}), "steps": ends | dict.fromkeys(missing(lines), "missing")}
    return BenchmarkRecord(command="gpu", settings=settings, facts=facts, measurements=measurements(lines))


def earlier(folder: Path) -> str:
    """What a folder that has results of a run holds, in one line: the device, the date and how far the run came."""
    lines = read_run(folder)[0] if (folder / FILE).is_file() else []
    path = folder / "gpu.json"
    facts = facts_of(lines) or (load(path).facts if path.is_file() else None)
    plan = plan_of(lines)
    of = f"on {facts.device} of {facts.date}" if facts else "on a device that is not known"
    steps = f", {len(plan.steps) - len(missing(lines))} of {len(plan.steps)} steps" if plan else ""
    return f"{folder} holds the results of a run {of}{steps}"
