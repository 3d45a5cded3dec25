"""Other people's fairness audits, each run by its script in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from dermforge.common import processes
from dermforge.common.errors import UserError

SCRIPTS = Path(__file__).parent / "audit_scripts"
#: Ours last.
TOOLS = ("fairlearn", "aequitas", "fairscope", "dermequity", "dermforge")
#: Time limit of one tool over all tables, in seconds.
LIMIT = 3600
#: What runs in the tool's own environment: it knows nothing of dermforge.
DRIVER = """
import json, runpy, sys, time, warnings
from importlib.metadata import version
import pandas as pd
warnings.simplefilter("ignore")
script, out, *tables = sys.argv[1:]
begun = time.perf_counter()
module = runpy.run_path(script)
start, said = time.perf_counter() - begun, []
for path in tables:
    table = pd.read_csv(path, dtype={"id": str, "label": str, "fst": str})
    begun = time.perf_counter()
    found = module["audit"](table)
    said.append({**found, "seconds": time.perf_counter() - begun})
with open(out, "w") as file:
    json.dump({"version": version(module["PACKAGE"]), "start_seconds": start, "said": said}, file)
"""

ByGroup = dict[str, float | None]


class Said(BaseModel):
    """What one tool says of one table.

    Attributes
    ----------
    intervals
        95 % intervals of the sensitivity (of fairscope: the AUROC) of each group.
    gap
        Largest less smallest value of the groups: of the sensitivity, of fairscope of the AUROC.
    words, alarm
        The tool's verdict as it prints it, and whether that says unfair; None: it gives none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy: ByGroup | None
    sensitivity: ByGroup | None
    auroc: ByGroup | None = None
    intervals: dict[str, list[float | None]] | None
    gap: float | None
    gap_interval: list[float | None] | None
    words: str
    alarm: bool | None
    seconds: float


class Audited(BaseModel):
    """What one tool says of all tables. lines: of its script, which a user would have to write."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str
    version: str
    lines: int
    start_seconds: float
    said: list[Said]


def run(tool: str, python: Path, tables: Sequence[Path]) -> Audited:
    """Run a tool on tables, with the interpreter of an environment that has it.

    Raises
    ------
    UserError
        It is not installed there, or failed.
    """
    script = script_of(tool)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "said.json"
        words = [str(python), "-P", "-W", "ignore", "-c", DRIVER, str(script), str(out), *map(str, tables)]
        with processes.program(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as started:
            try:
                _, complaint = started.communicate(timeout=LIMIT)
            finally:
                started.kill()  # nothing, where it has ended
        if started.returncode or not out.is_file():
            last = (complaint.strip().splitlines() or ["no message"])[-1]
            raise UserError(
                f"{tool} failed in {python}: {last}; give the interpreter of an environment that has it, "
                f"as --python {tool}=PATH"
            )
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return Audited.model_validate({"tool": tool, "lines": lines_of(script), **found})


def script_of(tool: str) -> Path:
    """What speaks to a tool."""
    return SCRIPTS / f"with_{tool}.py"


def lines_of(script: Path) -> int:
    """Lines with code of a script, without its docstring."""
    lines = [line.strip() for line in script.read_text(encoding="utf-8").splitlines()]
    return sum(bool(line) and not line.startswith(("#", '"""')) for line in lines)


def this_python() -> Path:
    """The interpreter of this environment."""
    return Path(sys.executable)
