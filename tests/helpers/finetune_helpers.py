"""`gen finetune` as a user runs it, in this process."""

from __future__ import annotations

import sys

import pytest

from dermforge.common import console
from gen.commands.finetune import finetune


def run(monkeypatch: pytest.MonkeyPatch, *args: object) -> int:
    """The command as the console runs it; its exit status."""
    app = console.new_app("gen")
    app.command()(finetune)
    monkeypatch.setattr(sys, "argv", ["finetune", *map(str, args)])
    with pytest.raises(SystemExit) as stop:
        console.run(app)
    return int(stop.value.code or 0)
