"""`gen distill` as a user runs it, in this process."""

from __future__ import annotations

import sys

import pytest
from finetune_helpers import words

from dermforge.common import console
from gen.commands.distill import distill


def run(monkeypatch: pytest.MonkeyPatch, **options: object) -> int:
    """The command as the console runs it, by default for prompts of the class alone; its exit status."""
    app = console.new_app("gen")
    app.command()(distill)
    monkeypatch.setattr(sys, "argv", ["distill", *words(**{"template": "An image of {class}", **options})])
    with pytest.raises(SystemExit) as stop:
        console.run(app)
    return int(stop.value.code or 0)
