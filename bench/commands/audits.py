"""`bench audits`: fairness audits of other tools and ours on the same tables."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options
from dermforge.common import console
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim


def audits(
    python: Annotated[
        list[str] | None,
        typer.Option(help="TOOL=PYTHON, the interpreter of an environment that has the tool; repeatable."),
    ] = None,
    tables: Annotated[int, typer.Option(help="Tables of each kind, with and without a gap.", min=1)] = 20,
    out: Annotated[Path, typer.Option(help="Folder of the record.")] = Path("bench/results/audits"),
    show: Annotated[bool, typer.Option("--show", help="Run nothing; print the record's tables as Markdown.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """What fairlearn, aequitas, fairscope, dermequity and dermforge say of the same drawn tables, and what it costs.

    Tools without --python are looked for in this environment; aequitas 1 needs pandas 2, so it wants one of its own.

    Example: bench audits --python aequitas=/venvs/aequitas/bin/python --tables 20
    """
    import torch

    from bench.measure.device import describe
    from bench.peers.audits import TOOLS, this_python
    from bench.suites import audits as suite

    if not show:
        claim(out, "a comparison of audit tools", [suite.NAME])
        pythons = dict.fromkeys(TOOLS, this_python())
        for word in python or ():
            tool, _, path = word.partition("=")
            if tool not in TOOLS or not Path(path).is_file():
                raise UserError(f"--python {word}; expected TOOL=PYTHON, with a tool of {', '.join(TOOLS)} and a file")
            pythons[tool] = Path(path)
        facts = describe(torch.device("cpu"))
        with tempfile.TemporaryDirectory() as folder, console.progress("audits", len(TOOLS), "tools") as bar:
            record = suite.measure(Path(folder), pythons, tables, facts, lambda note: bar(1, note))
        suite.save(record, out)
    record = suite.read(out)
    if as_json:
        console.print_json(record.model_dump(mode="json"))
    else:
        console.say(suite.markdown(record))
