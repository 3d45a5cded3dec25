"""The same tables to every audit tool: what each says, calls unfair and costs. The truth of the tables is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from bench.measure.device import Facts
from bench.measure.record import BenchmarkRecord
from bench.peers.audits import Audited, Said, run
from bench.suites.statistics.experiments import SIX_LIKE_FITZPATRICK
from bench.suites.statistics.planted_tables import Design, draw, truth
from dermforge.common.atomic import write_whole
from dermforge.common.command_line import typed
from dermforge.common.errors import UserError
from dermforge.common.markdown import table
from evalsuite.fairness.predictions import Predictions

NAME = "audits.json"
#: Rows of each skin type: a quarter of those like Fitzpatrick 17k in `bench statistics`.
SIZES, PREVALENCE = tuple(n // 4 for n in SIX_LIKE_FITZPATRICK.sizes), (0.7, 0.3)
#: With a gap, types V and VI are harder.
TABLES = {
    "without a gap": Design(SIZES, PREVALENCE),
    "with a gap": Design(SIZES, PREVALENCE, lost=(0, 0, 0, 0, 0.9, 0.9)),
}
#: fairlearn gives no verdict to count, and its bootstrap takes long: it is given the first table of each kind.
SHOWN_ONLY = ("fairlearn",)


class AuditRecord(BaseModel):
    """What came out. truth: sensitivity to melanoma of each skin type, by kind of table; tables: drawn of each kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    facts: Facts
    tables: int
    sizes: tuple[int, ...]
    truth: dict[str, dict[str, float]]
    found: list[Audited]


def measure(
    folder: Path, pythons: Mapping[str, Path], tables: int, facts: Facts, tick: Callable[[str], None]
) -> AuditRecord:
    """Draw the tables into a folder and give them to every tool.

    Parameters
    ----------
    pythons
        Tool -> the interpreter of an environment that has it.

    Raises
    ------
    UserError
        A tool is not installed where it is looked for, or failed.
    """
    paths = {kind: [_write(folder, kind, seed) for seed in range(tables)] for kind in TABLES}
    found = []
    for tool, python in pythons.items():
        count = 1 if tool in SHOWN_ONLY else tables
        found.append(run(tool, python, [path for kind in TABLES for path in paths[kind][:count]]))
        tick(tool)
    return AuditRecord(
        facts=facts,
        tables=tables,
        sizes=SIZES,
        truth={kind: {g: _sensitivity(d, i) for i, g in enumerate(d.groups)} for kind, d in TABLES.items()},
        found=found,
    )


def _write(folder: Path, kind: str, seed: int) -> Path:
    path = folder / f"{kind.replace(' ', '-')}-{seed}.csv"
    frame(draw(np.random.default_rng(seed), TABLES[kind])).to_csv(path, index=False)
    return path


def frame(table: Predictions) -> pd.DataFrame:
    """The table as any tool reads it: id, label, a probability for each class, fst."""
    probs = {f"prob_{name}": table.probs[:, i] for i, name in enumerate(table.classes)}
    labels = np.array(table.classes)[table.labels]
    return pd.DataFrame({"id": table.ids, "label": labels, **probs, "fst": table.groups["fst"]})


def _sensitivity(design: Design, group: int) -> float:
    return next(v for key, v in truth(design, group).items() if (key.kind, key.cls) == ("sensitivity", "melanoma"))


def first(one: Audited, kind: str) -> Said:
    """What a tool says of the first table of a kind."""
    return one.said[list(TABLES).index(kind) * (len(one.said) // len(TABLES))]


def alarms(one: Audited, kind: str) -> int | None:
    """How many tables of a kind a tool calls unfair; None where it gives no verdict."""
    size = len(one.said) // len(TABLES)
    begin = list(TABLES).index(kind) * size
    said = [table.alarm for table in one.said[begin : begin + size]]
    return None if None in said else sum(map(bool, said))


def save(record: AuditRecord, out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / NAME, (record.model_dump_json(indent=1) + "\n").encode())
    return out / NAME


def read(out: Path) -> AuditRecord:
    """A record.

    Raises
    ------
    UserError
        There is none.
    """
    if not (out / NAME).is_file():
        raise UserError(f"{out} holds no {NAME}; make one with {typed('bench', 'audits', '--out', out)}")
    return AuditRecord.model_validate_json((out / NAME).read_bytes())


def markdown(record: AuditRecord) -> str:
    """The tables of docs/explanation/peers.md."""
    facts, groups = record.facts, list(record.truth["with a gap"])
    parts = [
        f"Measured on {facts.date[:10]}: {facts.device}, {facts.cores} cores, {facts.threads} threads, commit "
        f"{facts.commit}; other processes used {facts.load:.0%} of the cores just before.\n",
        _table(
            ("tool", "version", "lines of code", "seconds to start", "seconds a table"),
            [(a.tool, a.version, str(a.lines), f"{a.start_seconds:.1f}", _seconds(a)) for a in record.found],
        ),
    ]
    for kind in TABLES:
        true = record.truth[kind]
        rows = [("truth (sensitivity)", *(f"{true[g]:.3f}" for g in groups), _gap(true), "")]
        for one in record.found:
            said = first(one, kind)
            values, what = (said.auroc, "AUROC") if said.sensitivity is None else (said.sensitivity, "sensitivity")
            assert values is not None
            cells = [_cell(values[g], (said.intervals or {}).get(g)) for g in groups]
            gap = _cell(said.gap, said.gap_interval)
            rows.append((f"{one.tool} ({what})", *cells, gap, said.words or "no verdict"))
        parts += [f"**The first table {kind}**\n", _table(("", *groups, "gap", "what it says"), rows)]
        accuracy = [
            (a.tool, *(_cell(said.accuracy[g], None) for g in groups))
            for a in record.found
            if (said := first(a, kind)).accuracy
        ]
        parts += [_table(("accuracy", *groups), accuracy)]
    counted = [(a.tool, *(_count(alarms(a, kind), record.tables) for kind in TABLES)) for a in record.found]
    parts.append(_table(("called unfair", *(f"tables {kind}" for kind in TABLES)), counted))
    return "\n".join(parts)


def generation(record: BenchmarkRecord) -> str:
    """The table of images a second, from a record of `bench sample` with synderm among the peers."""
    rates = [m for m in record.measurements if m.name.startswith("sample/") and m.unit == "images/s"]
    rows = [(m.name.removeprefix("sample/"), f"{m.median:.1f}") for m in rates]
    given = ", ".join(f"{name} {record.settings[name]}" for name in ("model", "images", "steps", "guidance"))
    return f"Measured on {record.facts.date[:10]}: {record.facts.device}; {given}.\n\n" + _table(
        ("what draws", "images/s"), rows
    )


def _count(count: int | None, of: int) -> str:
    return "gives no verdict" if count is None else f"{count} of {of}"


def _seconds(one: Audited) -> str:
    return f"{float(np.median([said.seconds for said in one.said])):.2f}"


def _gap(values: Mapping[str, float]) -> str:
    return f"{max(values.values()) - min(values.values()):.3f}"


def _cell(value: float | None, interval: list[float | None] | None) -> str:
    if value is None:
        return ""
    ends = [] if interval is None else [end for end in interval if end is not None]
    return f"{value:.3f}" + (f" ({ends[0]:.2f} to {ends[1]:.2f})" if len(ends) == 2 else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return table(head, rows) + "\n"
