"""`gen finetune`, and other commands that train, as a user runs them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from inspect import signature
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dermforge.common import console
from gen.commands.finetune import finetune

#: Runs the command with as many threads as the tests, so that sums are in the same order.
PROGRAM = """
import sys, torch
from gen.cli import main

torch.set_num_threads(int(sys.argv.pop(1)))
main()
"""
CLASSES, GROUPS = ["lichen_planus", "plaque"], ["1", "5"]  # of the fixture `images`, which says I and V


def words(**options: object) -> list[str]:
    """Options as they are typed; True is a flag."""
    pairs = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    return [str(word) for flag, value in pairs.items() for word in ([flag] if value is True else [flag, value])]


def run(monkeypatch: pytest.MonkeyPatch, command: Callable[..., None] = finetune, /, **options: object) -> int:
    """The command as the console runs it, by default for prompts of the class alone; its exit status."""
    app = console.new_app("gen")
    app.command()(command)
    usual = {"template": "An image of {class}"} if "template" in signature(command).parameters else {}
    monkeypatch.setattr(sys, "argv", [command.__name__, *words(**{**usual, **options})])
    with pytest.raises(SystemExit) as stop:
        console.run(app)
    return int(stop.value.code or 0)


def killed(out: Path, command: str = "finetune", /, **options: object) -> None:
    """A command of `gen` in another process, which gets SIGKILL between two checkpoints."""
    program = [sys.executable, "-c", PROGRAM, str(torch.get_num_threads()), command]
    child = subprocess.Popen([*program, *words(**options, out=out)])
    log = out.with_name(f"{out.name}.work") / "log.csv"
    while child.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 4):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()


def unet(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a pipeline folder's UNet."""
    return load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal to the bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
