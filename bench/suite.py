"""All benchmarks, each in a process of its own: one that fails or eats the memory leaves the others alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bench.device import describe
from bench.record import Measurement, Record, save
from shards import console

#: Those that write a record themselves; the others print JSON and are run several times.
RECORDING = ("roofline", "engine", "sample", "paper", "shards")
PRINTING = ("train", "study")


class Done(NamedTuple):
    """What a process wrote, and its last line on stderr where it failed."""

    stdout: str
    error: str | None


@dataclass(frozen=True)
class Part:
    """One benchmark that was run.

    Attributes
    ----------
    error
        Its last line on stderr, where it failed.
    """

    name: str
    error: str | None = None


def run(name: str, options: Sequence[str], out: Path, repeats: int) -> Part:
    """Run one benchmark and keep its result in `out`."""
    if name in RECORDING:
        return Part(name, _bench([name, *options, "--out", str(out), "--json"]).error)
    documents = []
    facts = describe(torch.device("cuda:0" if torch.cuda.is_available() else "cpu"))
    for _ in range(repeats):
        done = _bench([name, *options, "--json"])
        if done.error:
            return Part(name, done.error)
        documents.append(json.loads(done.stdout))
    record = Record(command=name, settings={"options": list(options)}, facts=facts,
                    measurements=from_documents(documents))
    save(record, out)
    return Part(name)


def from_documents(documents: Sequence[Mapping[str, Any]]) -> list[Measurement]:
    """A measurement of every number that all of these JSON documents have: one sample a document."""
    flat = [dict(_numbers(document, "")) for document in documents]
    shared = [name for name in flat[0] if all(name in one for one in flat)] if flat else []
    return [Measurement(name=name, unit="", samples=[one[name] for one in flat]) for name in shared]


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """Numbers by path; list items by their name, model or position."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield name, float(value)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _numbers(one, f"{name}/{key}" if name else str(key))
    elif isinstance(value, list):
        for i, one in enumerate(value):
            label = next((one[k] for k in ("name", "model") if k in one), i) if isinstance(one, dict) else i
            yield from _numbers(one, f"{name}/{label}" if name else str(label))


def _bench(arguments: list[str]) -> Done:
    """`bench` with these arguments; its lines on stderr go on to the user as they come."""
    last = ""
    with tempfile.TemporaryFile("w+") as stdout:
        command = [sys.executable, "-m", "bench", *arguments]
        with subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr or ():
                console.err.print(line.rstrip(), markup=False, soft_wrap=True)
                last = line.strip() or last
        stdout.seek(0)
        return Done(stdout.read(), None if process.returncode == 0 else last or f"exit status {process.returncode}")
